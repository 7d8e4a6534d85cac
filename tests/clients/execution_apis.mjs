// The fixtures of execution-apis on a node, all methods but eth_simulateV1.
import assert from 'node:assert/strict'
import { ethers } from 'ethers'
import { fixtures, wrong } from './fixtures.mjs'
import { ADDRESSES, KEYS, URL, compile, eventually, raw, rpc, step } from './lib.mjs'

// Fixtures that do not apply here, and why. Each must differ.
const EXCEPTIONS = {
  'eth_capabilities/get-capabilities.io': 'a draft method that no client here asks for',
  'eth_config/get-config.io': 'about the schedule of Ethereum’s forks, of which there is none here',
  'eth_getTransactionByHash/get-blob-tx.io': 'there are no blob transactions (EIP-4844)',
  'eth_getTransactionReceipt/get-blob-tx.io': 'there are no blob transactions (EIP-4844)',
  'eth_estimateGas/estimate-with-eip4844.io': 'there are no blob transactions (EIP-4844)',
  'eth_sendRawTransaction/send-blob-tx.io': 'there are no blob transactions (EIP-4844)',
}

const compiled = compile()
const provider = new ethers.JsonRpcProvider(URL, undefined, { pollingInterval: 50, cacheTimeout: -1 })
const wallets = KEYS.map(key => new ethers.Wallet(key, provider))
const signer = new ethers.NonceManager(wallets[0])
const send = async fields => (await signer.sendTransaction({ gasLimit: 300_000n, ...fields })).wait()

const made = await step('a chain with what the fixtures ask for', async () => {
  const emitter = (await send({ data: compiled.Emitter.bytecode, gasLimit: 1_000_000n })).contractAddress
  const failing = (await send({ data: compiled.Failing.bytecode, gasLimit: 1_000_000n })).contractAddress
  const gasPrice = 10n ** 10n
  const logged = await send({ to: emitter, data: '0x01' })
  const accessList = [{ address: emitter, storageKeys: [ethers.ZeroHash] }]
  const authorization = await wallets[2].authorize({ address: emitter, nonce: 0 })
  const txs = {
    'get-legacy-tx': await send({ type: 0, gasPrice, to: ADDRESSES[1], value: 1n }),
    'get-legacy-receipt': await send({ type: 0, gasPrice, to: ADDRESSES[1], value: 1n }),
    'get-legacy-input': await send({ type: 0, gasPrice, to: emitter, data: '0xff01' }),
    'get-legacy-create': await send({ type: 0, gasPrice, data: '0x5b60006000f3' }),
    'get-legacy-contract': await send({ type: 0, gasPrice, data: '0x5b60006000f3' }),
    'get-access-list': await send({ type: 1, gasPrice, to: emitter, data: '0x02', accessList }),
    'get-dynamic-fee': await send({ to: emitter, data: '0x03', accessList }),
    'get-setcode-tx': await send({ type: 4, to: ADDRESSES[1], authorizationList: [authorization] }),
  }
  // The fixtures name blocks up to 0x37.
  await eventually('enough blocks', async () => Number(await rpc('eth_blockNumber')) > 0x40)
  return { emitter, failing, logged, txs }
})

const addresses = {
  '0x7dcd17433742f4c0ca53122ab541d0ba67fc27df': made.emitter,
  '0x0ee3ab1371c93e7c0c281cc0c2107cdebc8b1930': made.failing,
  '0x17e7eedce4ac02ef114a7ed9fe6e2f33feba1667': made.emitter,
  '0x9344b07175800259691961298ca11c824e65032d': made.emitter,
  '0x0c2c51a0990aee1d73c1228de158688341557508': ADDRESSES[0],
  '0x7435ed30a8b4aeb0877cef0c6e8cffe834eb865f': ADDRESSES[0],
}
const absent = /future|not-?found|unknown|empty/
// Kept states are the last ones, and these fixtures ask for numbers of a chain of 54 blocks.
const stateful = /^eth_(call|getBalance|getCode|getStorage|getProof|getTransactionCount|estimateGas|createAccessList)/
const ranged = /^eth_getLogs|^eth_getBlock|^eth_getTransactionByBlock/

const signed = {
  'send-legacy-transaction': { type: 0, gasPrice: 10n ** 10n },
  'send-access-list-transaction': { type: 1, gasPrice: 10n ** 10n },
  'send-dynamic-fee-transaction': { type: 2 },
  'send-dynamic-fee-access-list-transaction': { type: 2, accessList: [{ address: made.emitter, storageKeys: [ethers.ZeroHash] }] },
}
let nonce = 0

/** The parameters of a fixture, about our chain instead of its own. */
async function ours(file, method, params) {
  const name = file.split('/')[1].replace('.io', '')
  if (method === 'eth_sendRawTransaction') {
    if (!signed[name]) return params
    const fee = { gasLimit: 100_000n, ...(signed[name].gasPrice ? {} : { maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 1n }) }
    const chainId = BigInt(await rpc('eth_chainId'))
    return [await wallets[1].signTransaction({ chainId, nonce: nonce++, to: made.emitter, data: '0x04', ...fee, ...signed[name] })]
  }
  const legacy = made.txs['get-legacy-tx']
  if (method === 'eth_getTransactionByBlockHashAndIndex') return [legacy.blockHash, ethers.toQuantity(legacy.index)]
  if (method === 'eth_getTransactionByBlockNumberAndIndex') return [legacy.blockNumber, legacy.index].map(ethers.toQuantity)
  const hash = method.includes('TransactionByHash') || method === 'eth_getTransactionReceipt'
    ? (made.txs[name] ?? legacy).hash
    : made.logged.blockHash
  const swap = value => {
    if (Array.isArray(value)) return value.map(swap)
    if (value && typeof value === 'object') {
      return Object.fromEntries(Object.entries(value).map(([key, of]) => {
        if (key === 'blockHash') return [key, made.logged.blockHash]
        if (['topics', 'r', 's'].includes(key)) return [key, key === 'topics' ? topics(of) : of]
        // Whoever pays has funds.
        if (key === 'from' && value.maxFeePerGas) return [key, ADDRESSES[0]]
        if (key === 'gasPrice' || key === 'maxFeePerGas') return [key, '0x2540be400']
        return [addresses[key] ?? key, /Block$/.test(key) ? block(of) : swap(of)]
      }))
    }
    if (typeof value !== 'string') return value
    // What fails in this one is a contract that others call with success.
    if (name === 'estimate-failed-call' && addresses[value] === made.emitter) return made.failing
    return addresses[value] ?? value
  }
  const tip = await rpc('eth_getBlockByNumber', ['latest', false])
  const block = of => {
    if (/^0x[0-9a-f]{64}$/.test(of)) return tip.hash
    if (!/^0x[0-9a-f]{1,8}$/.test(of)) return of
    if (/reversed|invalid-blockHash/.test(name)) return of
    if (absent.test(name)) return '0xffffff'
    if (stateful.test(method)) return 'latest'
    return of
  }
  const topics = of => of?.map(at => (Array.isArray(at) ? topics(at) : at && made.logged.logs[0].topics[/^0x0{50}/.test(at) ? 0 : 1]))
  const swapped = params.map((value, index) => {
    const word = typeof value === 'string' && /^0x[0-9a-f]{64}$/.test(value)
    if (word && index === 0) return absent.test(name) ? value : hash
    const isBlock = typeof value === 'string' && (index > 0 || /ByNumber|BlockReceipts/.test(method)) && method !== 'eth_getStorageAt'
    if (isBlock || (method === 'eth_getStorageAt' && index === 2)) return block(value)
    return swap(value)
  })
  if (method === 'eth_getLogs' && !/error/.test(name)) {
    const [filter] = swapped
    if (filter.fromBlock || filter.toBlock) Object.assign(filter, { fromBlock: '0x0', toBlock: 'latest' })
  }
  if (method === 'eth_getLogs' && /future/.test(name)) return [{ fromBlock: '0x1', toBlock: '0xffffff' }]
  return swapped
}

const files = fixtures(/^(eth_(?!simulateV1)|net_|txpool_)/)

await step(`${files.length} fixtures, ${Object.keys(EXCEPTIONS).length} of which do not apply`, async () => {
  const differences = []
  let compared = 0
  for (const { file, lines } of files) {
    let [own, differs] = []
    for (const line of lines) {
      if (line.startsWith('>> ')) {
        const { method, params = [] } = JSON.parse(line.slice(3))
        own = await raw(method, await ours(file, method, params))
      } else if (line.startsWith('<< ')) {
        compared += 1
        const found = wrong(JSON.parse(line.slice(3)), own)
        differs ??= found
      }
    }
    if (!!differs !== file in EXCEPTIONS) differences.push(`${file}: ${differs?.slice(0, 300) ?? 'no exception any more'}`)
  }
  console.log(`# ${compared} answers compared`)
  assert.deepEqual(differences, [])
})

provider.destroy()
