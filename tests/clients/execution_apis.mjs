// The method fixtures of a checkout of ethereum/execution-apis (EXECUTION_APIS) on a node. What has another
// chain's content is compared by shape: the fields, how each value is encoded, and the codes of errors.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ethers } from 'ethers'
import { ADDRESSES, KEYS, URL, compile, eventually, raw, rpc, step } from './lib.mjs'

// Fixtures that do not apply here, and why.
const EXCEPTIONS = {
  'eth_capabilities/get-capabilities.io': 'a draft method that no client here asks for',
  'eth_config/get-config.io': 'about the schedule of Ethereum’s forks, of which there is none here',
  'eth_getTransactionByHash/get-blob-tx.io': 'there are no blob transactions (EIP-4844)',
  'eth_getTransactionReceipt/get-blob-tx.io': 'there are no blob transactions (EIP-4844)',
  'eth_estimateGas/estimate-with-eip4844.io': 'there are no blob transactions (EIP-4844)',
}

// Fields that blocks and receipts of older forks do not have, and those that only they have.
const OPTIONAL = new Set([
  'baseFeePerGas', 'withdrawals', 'withdrawalsRoot', 'blobGasUsed', 'excessBlobGas', 'parentBeaconBlockRoot', 'requestsHash',
  'status', 'root', 'contractAddress', 'error',
])
// A legacy transaction without replay protection has no chain id; here each has one.
const ofLegacy = value => value?.type === '0x0' && 'input' in value

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
    const fee = { gasLimit: 100_000n, ...(signed[name].gasPrice ? {} : { maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 1n }) }
    const chainId = BigInt(await rpc('eth_chainId'))
    return [await wallets[1].signTransaction({ chainId, nonce: nonce++, to: made.emitter, data: '0x04', ...fee, ...signed[name] })]
  }
  const hash = method.includes('TransactionByHash') || method === 'eth_getTransactionReceipt'
    ? (made.txs[name] ?? made.txs['get-legacy-tx']).hash
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
  const block = of => {
    if (!/^0x[0-9a-f]{1,8}$/.test(of)) return of
    if (/reversed|invalid-blockHash/.test(name)) return of
    if (absent.test(name)) return '0xffffff'
    if (stateful.test(method)) return 'latest'
    return of
  }
  const topics = of => of.map(at => (Array.isArray(at) ? topics(at) : at && made.logged.logs[0].topics[/^0x0{50}/.test(at) ? 0 : 1]))
  const swapped = params.map((value, index) => {
    const word = typeof value === 'string' && /^0x[0-9a-f]{64}$/.test(value)
    if (word && index === 0) return absent.test(name) ? value : hash
    const isBlock = typeof value === 'string' && (index > 0 || /ByNumber|BlockReceipts/.test(method)) && method !== 'eth_getStorageAt'
    if (/ByBlockNumberAndIndex/.test(method)) return index === 0 ? ethers.toQuantity(made.logged.blockNumber) : '0x0'
    if (/ByBlockHashAndIndex/.test(method) && index === 1) return '0x0'
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

const isQuantity = text => /^0x(0|[1-9a-f][0-9a-f]{0,63})$/.test(text)
const isData = text => /^0x([0-9a-f]{2})*$/i.test(text)
const FIXED = [42, 66, 18, 514]

/** What is different in shape, if anything. */
function difference(theirs, own, path = 'result') {
  if (theirs === null || own === null) {
    const open = /\.(to|contractAddress)$/.test(path)
    return (theirs === null) === (own === null) || open ? undefined : `${path}: ${JSON.stringify(own)} for ${JSON.stringify(theirs)}`
  }
  if (Array.isArray(theirs)) {
    if (!Array.isArray(own)) return `${path}: no list`
    if (theirs.length === 0 || own.length === 0) return undefined
    return own.map((of, index) => difference(theirs[Math.min(index, theirs.length - 1)], of, `${path}[]`)).find(Boolean)
  }
  if (typeof theirs !== typeof own) return `${path}: ${typeof own} for ${typeof theirs}`
  if (typeof theirs === 'object') {
    const byAddress = keys => keys.length > 0 && keys.every(key => /^(0x[0-9a-f]{40}|\d+)$/i.test(key))
    if (byAddress(Object.keys(theirs))) return Object.keys(own).map(key => difference(Object.values(theirs)[0], own[key], `${path}.*`)).find(Boolean)
    // Which fields a transaction has depends on its type.
    if (theirs.type !== own.type && 'input' in theirs && 'input' in own) return undefined
    if (ofLegacy(theirs) && !('chainId' in theirs)) own = Object.fromEntries(Object.entries(own).filter(([key]) => key !== 'chainId'))
    const [a, b] = [Object.keys(theirs), Object.keys(own)]
    const missing = a.filter(key => !b.includes(key) && !OPTIONAL.has(key))
    const extra = b.filter(key => !a.includes(key) && !OPTIONAL.has(key))
    if (missing.length + extra.length > 0) return `${path}: missing ${missing}, extra ${extra}`
    return a.filter(key => b.includes(key)).map(key => difference(theirs[key], own[key], `${path}.${key}`)).find(Boolean)
  }
  if (typeof theirs === 'string' && theirs.startsWith('0x')) {
    if (FIXED.includes(theirs.length) && !isQuantity(theirs)) return own.length === theirs.length ? undefined : `${path}: ${own} for ${theirs}`
    if (isQuantity(theirs) && !isData(theirs)) return isQuantity(own) ? undefined : `${path}: ${own} is no quantity`
    return isQuantity(own) || isData(own) ? undefined : `${path}: ${own} for ${theirs}`
  }
  return undefined
}

const folder = join(process.env.EXECUTION_APIS, 'tests')
const found = readdirSync(folder, { recursive: true }).filter(file => /^(eth_(?!simulateV1)|net_|txpool_).*\.io$/.test(file))
const files = found.sort().map(file => ({ file, lines: readFileSync(join(folder, file), 'utf8').split('\n') }))

await step(`${files.length} fixtures, ${Object.keys(EXCEPTIONS).length} of which do not apply`, async () => {
  const wrong = []
  let compared = 0
  for (const { file, lines } of files) {
    if (EXCEPTIONS[file]) continue
    let own
    for (const line of lines) {
      if (line.startsWith('>> ')) {
        const { method, params = [] } = JSON.parse(line.slice(3))
        own = await raw(method, await ours(file, method, params))
      } else if (line.startsWith('<< ')) {
        const theirs = JSON.parse(line.slice(3))
        compared += 1
        if (theirs.error) {
          if (own.error?.code !== theirs.error.code) wrong.push(`${file}: ${JSON.stringify(own).slice(0, 200)} for ${JSON.stringify(theirs.error)}`)
        } else if (own.error) {
          wrong.push(`${file}: ${JSON.stringify(own.error)}`)
        } else {
          const found = difference(theirs.result, own.result)
          if (found) wrong.push(`${file}: ${found.slice(0, 300)}`)
        }
      }
    }
  }
  console.log(`# ${compared} answers compared`)
  assert.deepEqual(wrong, [])
})

provider.destroy()
