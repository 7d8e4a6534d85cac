// ethers 6 on a node: what a dapp's author does with it.
import assert from 'node:assert/strict'
import { ethers } from 'ethers'
import { verifyMerkleProof } from '@ethereumjs/mpt'
import { ADDRESSES, KEYS, URL, WS_URL, compile, eventually, failure, raw, rpc, step } from './lib.mjs'

const compiled = compile()
const provider = new ethers.JsonRpcProvider(URL, undefined, { pollingInterval: 50, cacheTimeout: -1 })
const [first, second] = KEYS.map(key => new ethers.NonceManager(new ethers.Wallet(key, provider)))
const wallet = new ethers.Wallet(KEYS[2], provider)
const chain = compiled.Probe

await step('network, accounts and heights', async () => {
  const network = await provider.getNetwork()
  assert.equal(network.chainId, BigInt(await rpc('net_version')))
  assert.equal(await provider.getBalance(ADDRESSES[0]), ethers.parseEther('1000000'))
  const height = await provider.getBlockNumber()
  const block = await provider.getBlock(height, true)
  assert.equal(block.number, height)
  assert.ok(block.baseFeePerGas > 0n)
  for (const tag of ['latest', 'safe', 'finalized']) assert.ok((await provider.getBlock(tag)).number >= height)
  assert.equal((await provider.getBlock(0)).parentHash, ethers.ZeroHash)
})

const probe = await step('deploy, with a value', async () => {
  const factory = new ethers.ContractFactory(chain.abi, chain.bytecode, first)
  const made = await factory.deploy(5n, { value: ethers.parseEther('1') })
  const receipt = await made.deploymentTransaction().wait()
  assert.equal(receipt.status, 1)
  assert.equal(receipt.contractAddress, await made.getAddress())
  assert.equal(receipt.contractAddress, ethers.getCreateAddress({ from: ADDRESSES[0], nonce: 0 }))
  assert.equal(receipt.logs.length, 1)
  assert.equal(await provider.getBalance(made), ethers.parseEther('1'))
  assert.ok((await provider.getCode(made)).length > 1000)
  return made
})
const address = await probe.getAddress()

await step('calls and transactions, with estimated gas', async () => {
  assert.equal(await probe.count(), 5n)
  assert.equal(await probe.add.staticCall(2n, 'not sent'), 7n)
  const estimate = await probe.add.estimateGas(2n, 'one')
  const sent = await probe.add(2n, 'one')
  const receipt = await sent.wait()
  assert.ok(receipt.gasUsed <= estimate && estimate < (receipt.gasUsed * 13n) / 10n, `${estimate} for ${receipt.gasUsed}`)
  assert.equal(await probe.count(), 7n)
  assert.equal(BigInt(await provider.getStorage(address, 0)), 7n)
  const there = await provider.getTransaction(sent.hash)
  assert.equal(there.blockNumber, receipt.blockNumber)
  assert.equal(there.from, ADDRESSES[0])
  assert.equal((await provider.getTransactionReceipt(sent.hash)).hash, sent.hash)
  const block = await provider.getBlock(receipt.blockNumber, true)
  assert.equal(block.prefetchedTransactions[receipt.index].hash, sent.hash)
  const here = await probe.here()
  assert.ok(here.number > receipt.blockNumber && here.held === ethers.parseEther('1'))
})

await step('every way to fail has its reason', async () => {
  const text = await failure(probe.failWithReason())
  assert.equal(text.code, 'CALL_EXCEPTION')
  assert.equal(text.reason, 'a reason')
  const custom = await failure(probe.failWithError.staticCall(9n))
  assert.equal(custom.revert.name, 'TooMuch')
  assert.deepEqual([...custom.revert.args], [9n, 7n])
  const panic = await failure(probe.divide(1n, 0n))
  assert.match(panic.reason, /DIVIDE_BY_ZERO/)
  const silent = await failure(probe.failSilently())
  assert.equal(silent.data, '0x')
  const estimate = await failure(probe.failWithError.estimateGas(9n))
  assert.equal(estimate.revert?.name ?? estimate.data.slice(0, 10), estimate.revert ? 'TooMuch' : ethers.id('TooMuch(uint256,uint256)').slice(0, 10))
  assert.equal((await failure(probe.spin())).code, 'CALL_EXCEPTION')
  const endless = await raw('eth_call', [{ to: address, data: probe.interface.encodeFunctionData('spin') }, 'latest'])
  assert.match(endless.error.message, /out of gas/)
  const sent = await first.sendTransaction({ to: address, data: probe.interface.encodeFunctionData('failWithReason'), gasLimit: 100_000 })
  const reverted = await failure(sent.wait())
  assert.equal(reverted.receipt.status, 0)
  const starved = await first.sendTransaction({ to: address, data: probe.interface.encodeFunctionData('spin'), gasLimit: 50_000 })
  const receipt = (await failure(starved.wait())).receipt
  assert.equal(receipt.status, 0)
  assert.equal(receipt.gasUsed, 50_000n)
  assert.equal((await raw('eth_call', [{ to: address, data: '0xdeadbeef' }, 'latest'])).error.code, 3)
})

await step('events by contract, by topic, by range', async () => {
  const receipt = await (await probe.connect(second).add(3n, 'of the second')).wait()
  const all = await probe.queryFilter('Counted', 0)
  assert.deepEqual(all.map(event => event.args.note), ['made', 'one', 'of the second'])
  const own = await probe.queryFilter(probe.filters.Counted(ADDRESSES[1]), 0)
  assert.deepEqual(own.map(event => event.args.count), [10n])
  const byCount = await probe.queryFilter(probe.filters.Counted(null, [5n, 7n]), 0)
  assert.equal(byCount.length, 2)
  const here = await provider.getLogs({ blockHash: receipt.blockHash, address })
  assert.equal(here.length, 1)
  assert.equal(here[0].transactionHash, receipt.hash)
  const block = await provider.send('eth_getBlockByHash', [receipt.blockHash, false])
  assert.notEqual(BigInt(block.logsBloom), 0n)
  assert.equal(block.logsBloom, (await provider.send('eth_getTransactionReceipt', [receipt.hash])).logsBloom)
  const none = await provider.getLogs({ fromBlock: 0, address: ADDRESSES[2] })
  assert.deepEqual(none, [])
})

await step('filters', async () => {
  const topics = [ethers.id('Counted(address,uint256,string)')]
  const logs = await rpc('eth_newFilter', [{ address, topics }])
  const blocks = await rpc('eth_newBlockFilter')
  const pending = await rpc('eth_newPendingTransactionFilter')
  assert.deepEqual(await rpc('eth_getFilterChanges', [logs]), [])
  const sent = await probe.add(1n, 'filtered')
  const receipt = await sent.wait()
  assert.ok((await rpc('eth_getFilterChanges', [pending])).includes(sent.hash))
  const found = await rpc('eth_getFilterChanges', [logs])
  assert.deepEqual(found.map(log => log.transactionHash), [sent.hash])
  assert.deepEqual(await rpc('eth_getFilterChanges', [logs]), [], 'each is told once')
  assert.ok((await rpc('eth_getFilterChanges', [blocks])).includes(receipt.blockHash))
  const whole = await rpc('eth_newFilter', [{ address, fromBlock: '0x0' }])
  assert.ok((await rpc('eth_getFilterLogs', [whole])).length >= 4)
  for (const id of [logs, blocks, pending, whole]) assert.equal(await rpc('eth_uninstallFilter', [id]), true)
  assert.equal(await rpc('eth_uninstallFilter', [logs]), false)
  assert.equal((await failure(rpc('eth_getFilterChanges', [logs]))).code, -32000)
})

await step('subscriptions over WebSocket', async () => {
  const socket = new ethers.WebSocketProvider(WS_URL)
  const heights = []
  const hashes = []
  const counted = []
  await socket.on('block', height => heights.push(height))
  await socket.on('pending', hash => hashes.push(hash))
  const listening = probe.connect(socket)
  await listening.on('Counted', (by, count, note) => counted.push(note))
  await eventually('blocks are told', () => heights.length >= 3)
  const sent = await probe.add(1n, 'told')
  const receipt = await sent.wait()
  await eventually('the event is told', () => counted.includes('told'))
  await eventually('the pending transaction is told', () => hashes.includes(sent.hash))
  await eventually('its block is told', () => heights.includes(receipt.blockNumber))
  for (let i = 1; i < heights.length; i++) assert.equal(heights[i], heights[i - 1] + 1, 'no block is left out')
  assert.equal(await listening.count(), await probe.count())
  await socket.destroy()
})

await step('fees: legacy, access list, EIP-1559', async () => {
  const fees = await provider.getFeeData()
  assert.ok(fees.maxFeePerGas > fees.maxPriorityFeePerGas && fees.gasPrice > 0n)
  const before = await provider.getBalance(ADDRESSES[0])
  const to = ethers.Wallet.createRandom().address
  let paid = 0n
  for (const kind of [
    { type: 0, gasPrice: fees.gasPrice * 2n },
    { type: 1, gasPrice: fees.gasPrice * 2n, accessList: [{ address, storageKeys: [ethers.ZeroHash] }] },
    { type: 2, maxFeePerGas: fees.maxFeePerGas * 2n, maxPriorityFeePerGas: 2n },
  ]) {
    const receipt = await (await first.sendTransaction({ to, value: 7n, ...kind })).wait()
    assert.equal(receipt.type, kind.type)
    const { baseFeePerGas } = await provider.getBlock(receipt.blockNumber)
    const price = kind.type === 2 ? baseFeePerGas + 2n : kind.gasPrice
    assert.equal(receipt.gasPrice, price)
    paid += receipt.gasUsed * price + 7n
  }
  assert.equal(before - (await provider.getBalance(ADDRESSES[0])), paid)
  assert.equal(await provider.getBalance(to), 21n)
  const history = await rpc('eth_feeHistory', ['0x8', 'latest', [0, 50, 100]])
  assert.equal(history.reward.length, 8)
  assert.equal(history.baseFeePerGas.length, 9)
  assert.ok(history.reward.some(of => BigInt(of[2]) >= 2n))
})

await step('what cannot be is refused with its reason', async () => {
  const poor = ethers.Wallet.createRandom().connect(provider)
  assert.equal((await failure(poor.sendTransaction({ to: address, value: 1n, gasLimit: 50_000 }))).code, 'INSUFFICIENT_FUNDS')
  const old = await failure(wallet.sendTransaction({ to: address, nonce: 0, chainId: 1n }))
  assert.ok(old.code !== undefined)
  const used = new ethers.Wallet(KEYS[0], provider)
  assert.equal((await failure(used.sendTransaction({ to: address, nonce: 0, gasLimit: 50_000 }))).code, 'NONCE_EXPIRED')
  assert.equal((await raw('anvil_nodeInfo')).error.code, -32601)
  const height = await provider.getBlockNumber()
  assert.equal((await raw('eth_getBalance', [ADDRESSES[0], ethers.toQuantity(height + 1000)])).error.code, -32000)
})

await step('recent states are kept, and older ones are an error', async () => {
  const before = await provider.getBlockNumber()
  const count = await probe.count({ blockTag: before })
  await (await probe.add(100n, 'later')).wait()
  assert.equal(await probe.count({ blockTag: before }), count)
  assert.equal(await probe.count(), count + 100n)
  assert.ok((await provider.getTransactionCount(ADDRESSES[0])) > (await provider.getTransactionCount(ADDRESSES[0], before)))
  const gone = await eventually('old states are dropped', async () => (await raw('eth_getBalance', [ADDRESSES[0], '0x0'])).error, 90_000)
  assert.equal(gone.code, 4444)
})

await step('state overrides', async () => {
  const slot = ethers.toBeHex(0, 32)
  const data = probe.interface.encodeFunctionData('count')
  const call = { to: address, data }
  const supposed = await rpc('eth_call', [call, 'latest', { [address]: { stateDiff: { [slot]: ethers.toBeHex(77, 32) } } }])
  assert.equal(BigInt(supposed), 77n)
  const nobody = ethers.Wallet.createRandom().address
  const code = await provider.getCode(address)
  assert.equal(BigInt(await rpc('eth_call', [{ to: nobody, data }, 'latest', { [nobody]: { code } }])), 0n)
  const rich = { from: nobody, to: ADDRESSES[1], value: '0x1' }
  assert.ok((await raw('eth_call', [rich, 'latest'])).error)
  assert.equal(await rpc('eth_call', [rich, 'latest', { [nobody]: { balance: '0xff' } }]), '0x')
  const { accessList, gasUsed } = await rpc('eth_createAccessList', [{ from: ADDRESSES[0], ...call }, 'latest'])
  assert.deepEqual(accessList, [{ address: address.toLowerCase(), storageKeys: [slot] }])
  assert.ok(BigInt(gasUsed) > 21_000n)
})

await step('EIP-7702: an account gets code', async () => {
  const { abi, bytecode } = compiled.Delegate
  const delegate = await new ethers.ContractFactory(abi, bytecode, first).deploy()
  await delegate.waitForDeployment()
  const target = await delegate.getAddress()
  const nonce = await wallet.getNonce()
  const authorization = await wallet.authorize({ address: target, nonce: nonce + 1 })
  const data = delegate.interface.encodeFunctionData('touch', [42n])
  const sent = await wallet.sendTransaction({ type: 4, to: wallet.address, data, authorizationList: [authorization] })
  const receipt = await sent.wait()
  assert.equal(receipt.type, 4)
  assert.equal(receipt.logs[0].address, wallet.address)
  assert.equal(await provider.getCode(wallet.address), ethers.concat(['0xef0100', target]).toLowerCase())
  assert.equal(BigInt(await provider.getStorage(wallet.address, 0)), 42n)
  assert.equal((await provider.getTransaction(sent.hash)).authorizationList.length, 1)
  const again = await wallet.authorize({ address: ethers.ZeroAddress, nonce: (await wallet.getNonce()) + 1 })
  await (await wallet.sendTransaction({ type: 4, to: wallet.address, authorizationList: [again] })).wait()
  assert.equal(await provider.getCode(wallet.address), '0x')
})

await step('proofs that another library verifies', async () => {
  const map = ethers.keccak256(ethers.AbiCoder.defaultAbiCoder().encode(['address', 'uint256'], [ADDRESSES[0], 1]))
  const absent = ethers.toBeHex(12345, 32)
  const { proof, block } = await eventually('a proof of a block that is kept', async () => {
    const number = await rpc('eth_blockNumber')
    const block = await rpc('eth_getBlockByNumber', [number, false])
    const { result } = await raw('eth_getProof', [address, [ethers.toBeHex(0, 32), map, absent], number])
    return result && { proof: result, block }
  })
  const bytes = ethers.getBytes
  const options = { useKeyHashing: true }
  const leaf = await verifyMerkleProof(bytes(address), proof.accountProof.map(node => bytes(node)), { ...options, root: bytes(block.stateRoot) })
  const [nonce, balance, root, codeHash] = ethers.decodeRlp(ethers.hexlify(leaf))
  assert.equal(BigInt(nonce), BigInt(proof.nonce))
  assert.equal(BigInt(balance), BigInt(proof.balance))
  assert.equal(root, proof.storageHash)
  assert.equal(codeHash, ethers.keccak256(await provider.getCode(address)))
  for (const { key, value, proof: nodes } of proof.storageProof) {
    const stored = await verifyMerkleProof(bytes(key), nodes.map(node => bytes(node)), { ...options, root: bytes(proof.storageHash) })
    assert.equal(stored ? BigInt(ethers.decodeRlp(ethers.hexlify(stored))) : 0n, BigInt(value))
  }
  assert.ok(BigInt(proof.storageProof[1].value) > 0n)
  assert.equal(BigInt(proof.storageProof[2].value), 0n)
  const nobody = ethers.Wallet.createRandom().address
  const number = await rpc('eth_blockNumber')
  const missing = await rpc('eth_getProof', [nobody, [], number])
  const here = await rpc('eth_getBlockByNumber', [number, false])
  assert.equal(await verifyMerkleProof(bytes(nobody), missing.accountProof.map(node => bytes(node)), { ...options, root: bytes(here.stateRoot) }), null)
  const forged = proof.accountProof.map(node => bytes(node))
  forged[forged.length - 1][5] ^= 1
  await failure(verifyMerkleProof(bytes(address), forged, { ...options, root: bytes(block.stateRoot) }))
})

await step('batches', async () => {
  const calls = ['eth_chainId', 'eth_nothing', 'eth_blockNumber'].map((method, id) => ({ jsonrpc: '2.0', id, method, params: [] }))
  const answer = await fetch(URL, { method: 'POST', body: JSON.stringify(calls), headers: { 'content-type': 'application/json' } })
  const answers = await answer.json()
  assert.deepEqual(answers.map(of => of.id), [0, 1, 2])
  assert.equal(answers[1].error.code, -32601)
})

provider.destroy()
