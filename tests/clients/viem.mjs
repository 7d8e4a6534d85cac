// viem 2 on a node, with an ERC-20 of OpenZeppelin.
import assert from 'node:assert/strict'
import {
  BaseError, ContractFunctionRevertedError, createPublicClient, createWalletClient, defineChain, encodeFunctionData,
  getAddress, http, keccak256, parseEther, parseEventLogs, parseSignature, webSocket, zeroAddress,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { ADDRESSES, KEYS, URL, WS_URL, compile, eventually, failure, rpc, step } from './lib.mjs'

const compiled = compile()
const id = Number(await rpc('eth_chainId'))
const chain = defineChain({
  id,
  name: 'adnet',
  nativeCurrency: { name: 'sAX', symbol: 'sAX', decimals: 18 },
  rpcUrls: { default: { http: [URL], webSocket: [WS_URL] } },
})
const client = createPublicClient({ chain, transport: http(URL, { batch: true }), pollingInterval: 50, cacheTime: 0 })
const [first, second, third] = KEYS.map(key => privateKeyToAccount(key))
const wallet = createWalletClient({ chain, transport: http(URL), account: first })
const others = createWalletClient({ chain, transport: http(URL), account: second })
const mined = hash => client.waitForTransactionReceipt({ hash, confirmations: 1 })

const coin = await step('deploy an ERC-20 of OpenZeppelin', async () => {
  const { abi, bytecode } = compiled.Coin
  const hash = await wallet.deployContract({ abi, bytecode, args: ['Coin', 'COIN', parseEther('1000')] })
  const receipt = await mined(hash)
  assert.equal(receipt.status, 'success')
  return { abi, address: getAddress(receipt.contractAddress) }
})

await step('its metadata and balances, read in one batch', async () => {
  const read = (functionName, args = []) => client.readContract({ ...coin, functionName, args })
  const all = await Promise.all([read('name'), read('symbol'), read('decimals'), read('totalSupply'), read('balanceOf', [first.address])])
  assert.deepEqual(all, ['Coin', 'COIN', 18, parseEther('1000'), parseEther('1000')])
})

await step('transfer, approve, transferFrom, with their events', async () => {
  const { request } = await client.simulateContract({ ...coin, account: first, functionName: 'transfer', args: [third.address, 10n] })
  const receipt = await mined(await wallet.writeContract(request))
  const [event] = parseEventLogs({ abi: coin.abi, logs: receipt.logs })
  assert.equal(event.eventName, 'Transfer')
  assert.deepEqual(event.args, { from: first.address, to: third.address, value: 10n })
  await mined(await wallet.writeContract({ ...coin, functionName: 'approve', args: [second.address, 5n] }))
  await mined(await others.writeContract({ ...coin, functionName: 'transferFrom', args: [first.address, second.address, 5n] }))
  assert.equal(await client.readContract({ ...coin, functionName: 'balanceOf', args: [second.address] }), 5n)
  assert.equal(await client.readContract({ ...coin, functionName: 'allowance', args: [first.address, second.address] }), 0n)
  const logs = await client.getContractEvents({ ...coin, eventName: 'Transfer', args: { to: [second.address, third.address] }, fromBlock: 0n })
  assert.deepEqual(logs.map(log => log.args.value), [10n, 5n])
})

await step('its custom errors come through', async () => {
  const poor = client.simulateContract({ ...coin, account: third, functionName: 'transfer', args: [first.address, 11n] })
  const error = await failure(poor)
  assert.ok(error instanceof BaseError)
  const reverted = error.walk(cause => cause instanceof ContractFunctionRevertedError)
  assert.equal(reverted.data.errorName, 'ERC20InsufficientBalance')
  assert.deepEqual(reverted.data.args, [third.address, 10n, 11n])
})

await step('a permit (EIP-2612), by typed data', async () => {
  const deadline = 2n ** 40n
  const signature = await third.signTypedData({
    domain: { name: 'Coin', version: '1', chainId: id, verifyingContract: coin.address },
    types: { Permit: ['owner:address', 'spender:address', 'value:uint256', 'nonce:uint256', 'deadline:uint256'].map(field => ({ name: field.split(':')[0], type: field.split(':')[1] })) },
    primaryType: 'Permit',
    message: { owner: third.address, spender: second.address, value: 3n, nonce: 0n, deadline },
  })
  const { r, s, yParity } = parseSignature(signature)
  await mined(await others.writeContract({ ...coin, functionName: 'permit', args: [third.address, second.address, 3n, deadline, 27 + yParity, r, s] }))
  assert.equal(await client.readContract({ ...coin, functionName: 'allowance', args: [third.address, second.address] }), 3n)
})

await step('filters of viem', async () => {
  const filter = await client.createContractEventFilter({ ...coin, eventName: 'Transfer' })
  await mined(await wallet.writeContract({ ...coin, functionName: 'transfer', args: [second.address, 1n] }))
  const found = await eventually('the event is found', async () => {
    const changes = await client.getFilterChanges({ filter })
    return changes.length > 0 && changes
  })
  assert.equal(found[0].args.value, 1n)
  assert.equal(await client.uninstallFilter({ filter }), true)
})

await step('watching over WebSocket', async () => {
  const socket = createPublicClient({ chain, transport: webSocket(WS_URL) })
  const seen = { blocks: [], events: [], pending: [] }
  const stop = [
    socket.watchBlocks({ onBlock: block => seen.blocks.push(block.number) }),
    socket.watchContractEvent({ ...coin, eventName: 'Transfer', onLogs: logs => seen.events.push(...logs) }),
    socket.watchPendingTransactions({ onTransactions: hashes => seen.pending.push(...hashes) }),
  ]
  await eventually('blocks are told', () => seen.blocks.length >= 2)
  const hash = await wallet.writeContract({ ...coin, functionName: 'transfer', args: [second.address, 2n] })
  await eventually('the event is told', () => seen.events.some(log => log.transactionHash === hash))
  await eventually('the transaction is told', () => seen.pending.includes(hash))
  assert.equal(await socket.getChainId(), id)
  for (const each of stop) each()
  const transport = await socket.transport.getRpcClient()
  transport.close()
})

await step('fees', async () => {
  const fees = await client.estimateFeesPerGas()
  assert.ok(fees.maxFeePerGas > fees.maxPriorityFeePerGas)
  const history = await client.getFeeHistory({ blockCount: 4, rewardPercentiles: [10, 90] })
  assert.equal(history.reward.length, 4)
  assert.equal(history.baseFeePerGas.length, 5)
  const hash = await wallet.sendTransaction({ to: second.address, value: 1n, ...fees })
  const receipt = await mined(hash)
  const block = await client.getBlock({ blockNumber: receipt.blockNumber })
  assert.equal(receipt.effectiveGasPrice, block.baseFeePerGas + fees.maxPriorityFeePerGas < fees.maxFeePerGas ? block.baseFeePerGas + fees.maxPriorityFeePerGas : fees.maxFeePerGas)
  assert.equal(receipt.gasUsed, 21000n)
  assert.equal(await client.estimateGas({ account: first, to: second.address, value: 1n }), 21000n)
})

await step('proofs, code and storage', async () => {
  const code = await client.getCode({ address: coin.address })
  const proof = await client.getProof({ address: coin.address, storageKeys: [`0x${'0'.repeat(63)}2`] })
  assert.equal(proof.codeHash, keccak256(code))
  assert.equal(proof.storageProof[0].value, parseEther('1000'))
  assert.equal(BigInt(await client.getStorageAt({ address: coin.address, slot: '0x2' })), parseEther('1000'))
})

await step('state overrides and access lists', async () => {
  const poor = privateKeyToAccount(generatePrivateKey())
  const call = { account: poor, to: first.address, value: 1n }
  await failure(client.call(call))
  await client.call({ ...call, stateOverride: [{ address: poor.address, balance: 10n ** 18n }] })
  const data = encodeFunctionData({ abi: coin.abi, functionName: 'balanceOf', args: [first.address] })
  const { accessList } = await client.createAccessList({ account: second, to: coin.address, data })
  assert.equal(accessList.length, 1)
  assert.equal(accessList[0].storageKeys.length, 1)
})

await step('simulated blocks', async () => {
  const poor = privateKeyToAccount(generatePrivateKey())
  const blocks = await client.simulateBlocks({
    blocks: [
      {
        stateOverrides: [{ address: poor.address, balance: 1000n }],
        calls: [
          { account: poor, to: second.address, value: 900n },
          { account: poor, to: coin.address, abi: coin.abi, functionName: 'transfer', args: [second.address, 1n] },
        ],
      },
      { calls: [{ account: first, to: coin.address, abi: coin.abi, functionName: 'transfer', args: [poor.address, 6n] }, { account: first, to: coin.address, abi: coin.abi, functionName: 'balanceOf', args: [poor.address] }] },
    ],
    traceTransfers: true,
  })
  assert.equal(blocks.length, 2)
  assert.deepEqual(blocks[0].calls.map(call => call.status), ['success', 'failure'])
  assert.equal(blocks[1].calls[1].result, 6n)
  assert.equal(blocks[1].number, blocks[0].number + 1n)
  assert.equal(await client.getBalance({ address: poor.address }), 0n)
  assert.deepEqual(blocks[0].calls.map(call => call.logs.length), [1, 0], 'wei that moves is a log')
  const [moved] = parseEventLogs({ abi: coin.abi, logs: blocks[0].calls[0].logs })
  assert.deepEqual(moved.args, { from: poor.address, to: second.address, value: 900n })
  await failure(client.simulateBlocks({ blocks: [{ calls: [{ account: poor, to: second.address, value: 1n }] }] }))
  // A limit holds for the blocks after it, and who names no price pays no base fee.
  const blockOverrides = { gasLimit: '0x100000', baseFeePerGas: '0xa' }
  const supposed = await rpc('eth_simulateV1', [{ blockStateCalls: [{ blockOverrides, calls: [{ to: ADDRESSES[1] }] }, {}] }, 'latest'])
  assert.deepEqual(supposed.map(block => block.gasLimit), ['0x100000', '0x100000'])
  assert.equal(supposed[0].calls[0].status, '0x1')
})

await step('EIP-7702', async () => {
  const { abi, bytecode } = compiled.Delegate
  const receipt = await mined(await wallet.deployContract({ abi, bytecode }))
  const authority = createWalletClient({ chain, transport: http(URL), account: third })
  // Another one pays for it.
  const authorization = await authority.signAuthorization({ contractAddress: receipt.contractAddress })
  const hash = await others.writeContract({ abi, address: third.address, functionName: 'touch', args: [9n], authorizationList: [authorization] })
  const touched = await mined(hash)
  assert.equal(touched.type, 'eip7702')
  assert.equal(getAddress(touched.logs[0].address), third.address)
  assert.equal(await client.getCode({ address: third.address }), `0xef0100${receipt.contractAddress.slice(2)}`)
  assert.equal(await client.readContract({ abi, address: third.address, functionName: 'value' }), 9n)
  const undo = await authority.signAuthorization({ contractAddress: zeroAddress, executor: 'self' })
  await mined(await authority.sendTransaction({ to: third.address, authorizationList: [undo] }))
  assert.equal(await client.getCode({ address: third.address }), undefined)
})

assert.equal(getAddress(first.address), ADDRESSES[0])
