// What the scripts share: where the node is, its development accounts, compiled contracts.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import solc from 'solc'

export const URL = needed('ADNET_RPC')
export const WS_URL = URL.replace('http', 'ws')

// The accounts of every development network: those of anvil and hardhat.
export const KEYS = [
  '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80',
  '0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d',
  '0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a',
]
export const ADDRESSES = [
  '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266',
  '0x70997970C51812dc3A010C7d01b50e0d17dc79C8',
  '0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC',
]

function needed(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} must name the node`)
  return value
}

const require = createRequire(import.meta.url)

/** Compiles our contracts: name → { abi, bytecode }. */
export function compile() {
  const source = name => ({ content: readFileSync(new globalThis.URL(`contracts/${name}`, import.meta.url), 'utf8') })
  const input = {
    language: 'Solidity',
    sources: Object.fromEntries(['Probe.sol', 'Coin.sol', 'Fixtures.sol'].map(name => [name, source(name)])),
    settings: {
      evmVersion: 'prague',
      optimizer: { enabled: true, runs: 200 },
      outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
    },
  }
  const load = path => {
    try {
      return { contents: readFileSync(require.resolve(path), 'utf8') }
    } catch (error) {
      return { error: String(error) }
    }
  }
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }))
  const errors = (output.errors ?? []).filter(error => error.severity === 'error')
  assert.deepEqual(errors, [], 'solc compiles')
  const compiled = {}
  for (const file of Object.values(output.contracts)) {
    for (const [name, { abi, evm }] of Object.entries(file)) {
      compiled[name] = { abi, bytecode: '0x' + evm.bytecode.object }
    }
  }
  return compiled
}

/** An artifact that a package brings. */
export function artifact(path) {
  const { abi, bytecode } = require(path)
  return { abi, bytecode: bytecode.startsWith('0x') ? bytecode : '0x' + bytecode }
}

let calls = 0

/** A JSON-RPC call as it is: the whole answer. */
export async function raw(method, params = [], url = URL) {
  const body = JSON.stringify({ jsonrpc: '2.0', id: ++calls, method, params })
  const answer = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
  return answer.json()
}

/** The result of a JSON-RPC call. */
export async function rpc(method, params = [], url = URL) {
  const answer = await raw(method, params, url)
  if (answer.error) throw Object.assign(new Error(`${method}: ${JSON.stringify(answer.error)}`), answer.error)
  return answer.result
}

/** Asks until there is an answer that is not null, undefined or false. */
export async function eventually(what, ask, patience = 30_000) {
  const deadline = Date.now() + patience
  for (;;) {
    const found = await ask()
    if (found) return found
    if (Date.now() > deadline) throw new Error(`${what}: not within ${patience} ms`)
    await new Promise(resolve => setTimeout(resolve, 25))
  }
}

/** The error that a promise must fail with. */
export async function failure(promise) {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('this must fail')
}

let passed = 0

/** Runs one step of a script and says so. */
export async function step(name, work) {
  const begun = Date.now()
  try {
    const result = await work()
    passed += 1
    console.log(`ok ${passed} - ${name} (${Date.now() - begun} ms)`)
    return result
  } catch (error) {
    console.log(`not ok - ${name}`)
    throw error
  }
}

/** A program of Foundry. The scripts that its packages put into `.bin` lose exit codes and signals. */
export function foundry(program) {
  const platform = `${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`
  return require.resolve(`@foundry-rs/${program}-${platform}/bin/${program}`)
}

/** Runs it with its arguments; what it prints. */
export async function run(program, args, environment = {}) {
  const options = { env: { ...process.env, ...environment }, maxBuffer: 1 << 26 }
  const { stdout } = await promisify(execFile)(foundry(program), args, options)
  return stdout.trim()
}
