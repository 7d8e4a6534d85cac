// The fixtures of a checkout of ethereum/execution-apis (EXECUTION_APIS), and how an answer of ours is compared
// with one of theirs, which is of another chain: the fields, how each value is encoded, the codes of errors.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Fixtures by name: their lines. */
export function fixtures(wanted) {
  const folder = join(process.env.EXECUTION_APIS, 'tests')
  const found = readdirSync(folder, { recursive: true }).filter(file => file.endsWith('.io') && wanted.test(file))
  return found.sort().map(file => ({ file, lines: readFileSync(join(folder, file), 'utf8').split('\n') }))
}

// Fields that blocks and receipts of older forks do not have, and those that only they have.
const OPTIONAL = new Set([
  'baseFeePerGas', 'withdrawals', 'withdrawalsRoot', 'blobGasUsed', 'excessBlobGas', 'parentBeaconBlockRoot', 'requestsHash',
  'status', 'root', 'contractAddress', 'error',
])
// A legacy transaction without replay protection has no chain id; here each has one.
const ofLegacy = value => value?.type === '0x0' && 'input' in value

const isQuantity = text => /^0x(0|[1-9a-f][0-9a-f]{0,63})$/.test(text)
const isData = text => /^0x([0-9a-f]{2})*$/i.test(text)
const FIXED = [42, 66, 18, 514]

/** What is different in shape, if anything. */
export function difference(theirs, own, path = 'result') {
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
    if (theirs.type !== own.type && 'input' in theirs && 'input' in own) {
      return path === 'result' ? `${path}: type ${own.type} for ${theirs.type}` : undefined
    }
    if (ofLegacy(theirs) && !('chainId' in theirs)) own = Object.fromEntries(Object.entries(own).filter(([key]) => key !== 'chainId'))
    const [a, b] = [Object.keys(theirs), Object.keys(own)]
    const missing = a.filter(key => !b.includes(key) && !OPTIONAL.has(key))
    const extra = b.filter(key => !a.includes(key) && !OPTIONAL.has(key))
    if (missing.length + extra.length > 0) return `${path}: missing ${missing}, extra ${extra}`
    return a.filter(key => b.includes(key)).map(key => difference(theirs[key], own[key], `${path}.${key}`)).find(Boolean)
  }
  if (typeof theirs === 'string' && theirs.startsWith('0x')) {
    // What a log says has any length.
    if (/logs\[\]\.data$|^result\[\]\.data$/.test(path)) return isData(own) ? undefined : `${path}: ${own} is no data`
    if (FIXED.includes(theirs.length) && !isQuantity(theirs)) return own.length === theirs.length ? undefined : `${path}: ${own} for ${theirs}`
    if (isQuantity(theirs) && !isData(theirs)) return isQuantity(own) ? undefined : `${path}: ${own} is no quantity`
    return isQuantity(own) || isData(own) ? undefined : `${path}: ${own} for ${theirs}`
  }
  return undefined
}

/** What is different in a whole answer. */
export function wrong(theirs, own) {
  if (theirs.error) {
    return own.error?.code === theirs.error.code ? undefined : `${JSON.stringify(own).slice(0, 200)} for ${JSON.stringify(theirs.error)}`
  }
  return own.error ? JSON.stringify(own.error) : difference(theirs.result, own.result)
}
