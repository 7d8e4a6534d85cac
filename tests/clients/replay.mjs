// The same signed transactions on a node and on anvil: the same receipts.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { ethers } from 'ethers'
import { ADDRESSES, KEYS, URL, artifact, compile, eventually, foundry, rpc, step } from './lib.mjs'

const compiled = compile()
const chainId = BigInt(await rpc('eth_chainId'))
const wallets = KEYS.map(key => new ethers.Wallet(key))
const nonces = [0, 0, 0]
const signed = []
const created = index => ethers.getCreateAddress({ from: ADDRESSES[index], nonce: nonces[index] })

/** Signs the next transaction of an account. */
async function sign(name, index, fields) {
  const tx = {
    chainId,
    type: 2,
    nonce: nonces[index]++,
    gasLimit: 500_000n,
    ...((fields.type ?? 2) < 2 ? { gasPrice: 20_000_000_000n } : { maxFeePerGas: 20_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n }),
    ...fields,
  }
  signed.push({ name, raw: await wallets[index].signTransaction(tx) })
}

const interfaceOf = name => new ethers.Interface(compiled[name].abi)
async function deploy(name, index, { abi, bytecode }, args, fields = {}) {
  const address = created(index)
  const encoded = new ethers.Interface(abi).encodeDeploy(args)
  await sign(`deploy ${name}`, index, { data: ethers.concat([bytecode, encoded]), gasLimit: 6_000_000n, ...fields })
  return address
}

// What is replayed.
const nobody = '0x00000000000000000000000000000000000a11ce'
for (const type of [0, 1, 2]) await sign(`transfer of type ${type}`, 0, { type, to: nobody, value: 10n ** 15n, gasLimit: 21_000n })
const probe = await deploy('Probe', 0, compiled.Probe, [5n], { value: 10n ** 18n })
const call = (name, ...args) => interfaceOf('Probe').encodeFunctionData(name, args)
const toProbe = (label, index, data, fields = {}) => sign(label, index, { to: probe, data, ...fields })
await toProbe('add', 0, call('add', 3n, 'first'))
await toProbe('add by another, warm by its access list', 1, call('add', 4n, 'second'), {
  type: 1, accessList: [{ address: probe, storageKeys: [ethers.ZeroHash] }],
})
await toProbe('ten events', 1, call('many', 10n))
await toProbe('revert with a reason', 0, call('failWithReason'))
await toProbe('revert with an error', 0, call('failWithError', 9n))
await toProbe('panic', 0, call('divide', 1n, 0n))
await toProbe('out of gas', 0, call('spin'), { gasLimit: 60_000n })
await toProbe('much calldata (EIP-7623)', 0, '0x' + 'ff'.repeat(4000), { gasLimit: 300_000n })
await sign('a deployment that fails', 2, { data: '0x60006000fd', gasLimit: 100_000n })
await sign('code that begins with 0xef is no code (EIP-3541)', 2, { data: '0x60ef60005360016000f3', gasLimit: 100_000n })
await sign('precompiles: sha256 and identity', 2, { to: '0x0000000000000000000000000000000000000002', data: '0x01020304' })
await sign('BLS12-381 G1ADD (EIP-2537)', 2, { to: '0x000000000000000000000000000000000000000b', data: '0x' + '00'.repeat(256) })
const coin = await deploy('Coin', 1, compiled.Coin, ['Coin', 'COIN', 10n ** 21n])
const coinCall = (name, ...args) => interfaceOf('Coin').encodeFunctionData(name, args)
await sign('coin: transfer', 1, { to: coin, data: coinCall('transfer', ADDRESSES[0], 10n ** 18n) })
await sign('coin: approve', 0, { to: coin, data: coinCall('approve', ADDRESSES[2], 7n) })
await sign('coin: transferFrom', 2, { to: coin, data: coinCall('transferFrom', ADDRESSES[0], ADDRESSES[2], 7n) })
await sign('coin: more than there is', 2, { to: coin, data: coinCall('transfer', ADDRESSES[0], 8n) })
const other = await deploy('the other Coin', 1, compiled.Coin, ['Other', 'OTHER', 10n ** 21n])
const factoryArtifact = artifact('@uniswap/v2-core/build/UniswapV2Factory.json')
const pairArtifact = artifact('@uniswap/v2-core/build/UniswapV2Pair.json')
const factory = await deploy('Uniswap', 1, factoryArtifact, [ADDRESSES[1]])
const [low, high] = BigInt(coin) < BigInt(other) ? [coin, other] : [other, coin]
const salt = ethers.solidityPackedKeccak256(['address', 'address'], [low, high])
const pair = ethers.getCreate2Address(factory, salt, ethers.keccak256(pairArtifact.bytecode))
const pairCall = (name, ...args) => new ethers.Interface(pairArtifact.abi).encodeFunctionData(name, args)
await sign('createPair', 1, { to: factory, data: new ethers.Interface(factoryArtifact.abi).encodeFunctionData('createPair', [coin, other]), gasLimit: 5_000_000n })
await sign('liquidity: coin', 1, { to: coin, data: coinCall('transfer', pair, 5n * 10n ** 18n) })
await sign('liquidity: other', 1, { to: other, data: coinCall('transfer', pair, 20n * 10n ** 18n) })
await sign('liquidity: mint', 1, { to: pair, data: pairCall('mint', ADDRESSES[1]) })
await sign('swap: in', 1, { to: low, data: coinCall('transfer', pair, 10n ** 17n) })
await sign('swap: out', 1, { to: pair, data: pairCall('swap', 0n, 10n ** 16n, ADDRESSES[2], '0x') })
const delegate = await deploy('Delegate', 1, compiled.Delegate, [])
const authorize = async (index, address, ahead) =>
  wallets[index].authorize({ address, chainId, nonce: nonces[index] + ahead })
await sign('delegation, and a call of it (EIP-7702)', 2, {
  type: 4, to: ADDRESSES[2], data: interfaceOf('Delegate').encodeFunctionData('touch', [42n]), authorizationList: [await authorize(2, delegate, 1)],
})
nonces[2] += 1
await sign('a delegation that does not count', 1, { type: 4, to: nobody, authorizationList: [await authorize(2, delegate, 9)] })
await sign('a delegation taken back', 2, { type: 4, to: ADDRESSES[2], authorizationList: [await authorize(2, ethers.ZeroAddress, 1)] })
nonces[2] += 1
await toProbe('self-destruct (EIP-6780)', 0, call('destroy', nobody))
await toProbe('the contract lives on', 0, call('add', 1n, 'still here'))

/** A pair's first swap costs more in a later second than that of its liquidity: it is later on both. */
async function aSecondAfter({ blockNumber }, url) {
  const time = async block => Number((await rpc('eth_getBlockByNumber', [block, false], url)).timestamp)
  const then = await time(blockNumber)
  // The second chain makes a block for a transaction, and its time is that of the clock.
  const now = url === URL ? () => time('latest') : () => Math.floor(Date.now() / 1000)
  await eventually('a later second', async () => (await now()) > then)
}

/** Sends everything to a chain, one after the other, and collects the receipts. */
async function play(url) {
  const receipts = []
  for (const { name, raw } of signed) {
    if (name === 'swap: out') await aSecondAfter(receipts[signed.findIndex(({ name }) => name === 'liquidity: mint')], url)
    const hash = await rpc('eth_sendRawTransaction', [raw], url)
    receipts.push(await eventually(`a receipt of: ${name}`, () => rpc('eth_getTransactionReceipt', [hash], url)))
  }
  return receipts
}

/** What must be the same on both. */
function essence(receipt) {
  const { transactionHash, type, status, from, to, gasUsed, contractAddress, logs, logsBloom } = receipt
  const log = ({ address, topics, data }) => ({ address: address.toLowerCase(), topics, data })
  return {
    transactionHash, type, status, from: from.toLowerCase(), to: to && to.toLowerCase(), gasUsed, logsBloom,
    contractAddress: contractAddress && contractAddress.toLowerCase(), logs: logs.map(log),
  }
}

/** Starts anvil with the same chain id, the same funds and the same rules. */
async function anvil() {
  const args = ['--port', '0', '--chain-id', String(chainId), '--hardfork', 'prague', '--balance', '1000000', '--gas-limit', '100000000']
  const child = spawn(foundry('anvil'), args, { stdio: ['ignore', 'pipe', 'inherit'] })
  process.on('exit', () => child.kill('SIGKILL'))
  for await (const line of createInterface({ input: child.stdout })) {
    const found = /Listening on ([0-9.:]+)/.exec(line)
    if (found) return { url: `http://${found[1]}`, child }
  }
  throw new Error('anvil ended before it listened')
}

const { url, child } = await step('anvil', anvil)
child.stdout.resume()
const [ours, theirs] = await step(`${signed.length} signed transactions on both`, () => Promise.all([play(URL), play(url)]))

// Where the two may differ, by name, and why. Anything else is a failure.
const DIFFERENCES = {}

await step('the receipts are the same', () => {
  const found = []
  signed.forEach(({ name }, index) => {
    const [own, other] = [essence(ours[index]), essence(theirs[index])]
    try {
      assert.deepEqual(own, other)
    } catch (error) {
      if (DIFFERENCES[name] === undefined) found.push(`${name}: ${error.message}`)
    }
  })
  assert.deepEqual(found, [])
})

await step('and so is what they have led to', async () => {
  for (const address of [...ADDRESSES, nobody, probe, coin, other, factory, pair, delegate]) {
    for (const method of ['eth_getCode', 'eth_getTransactionCount']) {
      assert.equal(await rpc(method, [address, 'latest']), await rpc(method, [address, 'latest'], url), `${method} of ${address}`)
    }
  }
  for (const [address, slot] of [[probe, '0x0'], [coin, '0x2'], [pair, '0x8']]) {
    const [own, other] = await Promise.all([URL, url].map(at => rpc('eth_getStorageAt', [address, slot, 'latest'], at)))
    // The pair keeps the time of its last change in the upper 32 bits of its reserves.
    const mask = address === pair ? (1n << 224n) - 1n : (1n << 256n) - 1n
    assert.equal(BigInt(own) & mask, BigInt(other) & mask)
  }
  assert.equal(await rpc('eth_getBalance', [nobody, 'latest']), await rpc('eth_getBalance', [nobody, 'latest'], url))
})

// Each was sent when the one before had its receipt, so each is alone in its block.
await step('the roots of the receipts are the same', async () => {
  const roots = (receipts, at) => Promise.all(receipts.map(async ({ blockNumber }) => {
    const block = await rpc('eth_getBlockByNumber', [blockNumber, false], at)
    assert.equal(block.transactions.length, 1)
    return block.receiptsRoot
  }))
  const [own, other] = await Promise.all([roots(ours, URL), roots(theirs, url)])
  signed.forEach(({ name }, index) => assert.equal(own[index], other[index], name))
  assert.notEqual(new Set(own).size, 1)
})
child.kill()
