// What strangers may do to a node: named errors, bounded memory, and blocks that come as ever.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { ethers } from 'ethers'
import WebSocket from 'ws'
import { ADDRESSES, KEYS, URL, WS_URL, compile, eventually, raw, rpc, step } from './lib.mjs'

// Compiling takes seconds, in which no connection is served that is open already.
const compiled = compile()
const { hostname, port } = new globalThis.URL(URL)
const sockets = Number(process.env.SOCKETS ?? '2000')

/** Resident memory of Delta's worker, in MiB. */
const memory = () => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${process.env.ADNET_PID}/status`, 'utf8'))[1]) / 1024

// Time says little on a busy machine, where everything is slower. So what is measured here is measured in blocks: the
// node makes them by its own schedule, and these are only to end what would never end.
const PATIENCE_MS = 120_000

const post = (body, headers = {}) =>
  fetch(URL, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } })

const open = (url = WS_URL) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(url)
    socket.once('open', () => resolve(socket))
    socket.once('error', reject)
  })
const closed = socket => new Promise(resolve => socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })))

const height = async () => Number(await rpc('eth_blockNumber'))

/** Floods the node until so many blocks have come meanwhile. A node that stalls never makes them. */
async function whileBlocksCome(blocks, flood) {
  const target = (await height()) + blocks
  let reached = false
  const come = eventually(`${blocks} blocks during the flood`, async () => (reached = (await height()) >= target), PATIENCE_MS)
  const flooding = async () => {
    do await flood()
    while (!reached)
  }
  await Promise.all([come, flooding()])
}

/** The answer, which is there before so many blocks have come. */
async function beforeBlocks(blocks, ask) {
  const from = await height()
  const answer = await ask()
  const passed = (await height()) - from
  assert.ok(passed <= blocks, `answered ${passed} blocks later`)
  return answer
}

await step('blocks come', () => eventually('the first', async () => (await height()) > 0, PATIENCE_MS))

await step('bodies that are too large, too deep, or nothing', async () => {
  assert.equal((await post('x'.repeat(2 << 20))).status, 413)
  const deep = await (await post('['.repeat(100_000))).json()
  assert.equal(deep.error.code, -32700)
  const nested = `{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[${'['.repeat(20_000)}${']'.repeat(20_000)}]}`
  assert.ok([-32700, -32600, -32602].includes((await (await post(nested)).json()).error.code))
  for (const body of ['', '{}', 'null', '"x"', '{"id":1,"method":7}', '\xff']) {
    const { error } = await (await post(body)).json()
    assert.ok([-32700, -32600].includes(error.code), body)
  }
  const batch = JSON.stringify(Array(101).fill({ jsonrpc: '2.0', id: 1, method: 'eth_chainId' }))
  assert.equal((await (await post(batch)).json()).error.code, -32600)
})

await step('calls that cost too much', async () => {
  const loop = { data: '0x5b5f56', gas: '0xffffffffffff' }
  await whileBlocksCome(8, async () => {
    const answers = await Promise.all(Array(40).fill().map(() => raw('eth_call', [loop, 'latest'])))
    const codes = new Set(answers.map(of => of.error.code))
    assert.ok([...codes].every(code => code === -32000 || code === -32005), [...codes].join())
  })
  const many = Array(2000).fill('0x0')
  assert.equal((await raw('eth_getProof', [ADDRESSES[0], many, 'latest'])).error.code, -32005)
  assert.equal((await raw('eth_feeHistory', ['0x400', 'latest', Array(200).fill(1)])).error.code, -32602)
  const supposed = Object.fromEntries(Array(1100).fill().map((_, n) => [ethers.toBeHex(n + 1, 20), { nonce: '0x1' }]))
  assert.equal((await raw('eth_call', [{ to: ADDRESSES[0] }, 'latest', supposed])).error.code, -32005)
})

await step('suppositions that cannot be', async () => {
  const system = '0x' + (await (await fetch(URL + '/v1/version')).json()).data.attest_address.slice(2)
  const call = { to: ADDRESSES[0] }
  assert.equal((await raw('eth_call', [call, 'latest', { [system]: { nonce: '0x0', code: '0x' } }])).error.code, -32602)
  assert.equal((await raw('eth_call', [call, 'latest', { [ADDRESSES[0]]: { code: '0xef01' } }])).error.code, -32602)
  const extreme = { [ADDRESSES[1]]: { balance: '0x' + 'f'.repeat(64), nonce: '0xffffffffffffffff' } }
  // A call needs no nonce, and an account with the last one makes no contract (EIP-2681).
  const from = ADDRESSES[1]
  assert.equal((await raw('eth_call', [{ ...call, from, value: '0x1' }, 'latest', extreme])).result, '0x')
  const created = await raw('eth_call', [{ from, data: '0x5f5ff3' }, 'latest', extreme])
  assert.equal(created.error?.code, -32000, JSON.stringify(created))
  assert.match(created.error.message, /nonce has max value/)
  const far = { blockStateCalls: [{ blockOverrides: { time: '0xffffffffffffffff' } }, { calls: [call] }] }
  assert.equal((await raw('eth_simulateV1', [far, 'latest'])).error.code, -38021)
  const high = { blockStateCalls: [{ blockOverrides: { number: '0xffffffffffffffff' } }] }
  assert.equal((await raw('eth_simulateV1', [high, 'latest'])).error.code, -38026)
  const many = { blockStateCalls: Array(257).fill({}) }
  assert.equal((await raw('eth_simulateV1', [many, 'latest'])).error.code, -38026)
})

await step('questions for too many logs', async () => {
  const provider = new ethers.JsonRpcProvider(URL, undefined, { pollingInterval: 50, cacheTimeout: -1, batchMaxCount: 1 })
  const { abi, bytecode } = compiled.Probe
  const signer = new ethers.NonceManager(new ethers.Wallet(KEYS[0], provider))
  const probe = await (await new ethers.ContractFactory(abi, bytecode, signer).deploy(0)).waitForDeployment()
  const filter = await rpc('eth_newFilter', [{ address: await probe.getAddress() }])
  // In two blocks at least: a block alone may be more than an answer is otherwise.
  await (await probe.many(1000, { gasLimit: 4_000_000 })).wait()
  const sent = []
  for (let n = 1; n < 12; n++) sent.push(await probe.many(1000, { gasLimit: 4_000_000 }))
  // One after the other: each is long, and who asks for all of them again and again has no time to read.
  const receipts = []
  for (const { hash } of sent) receipts.push(await eventually('a receipt', () => rpc('eth_getTransactionReceipt', [hash]), PATIENCE_MS))
  const address = await probe.getAddress()
  const last = receipts.at(-1).blockNumber
  const all = await raw('eth_getLogs', [{ address, fromBlock: '0x0' }])
  assert.equal(all.error.code, -32005)
  const [, from, to] = /block range \[(0x[0-9a-f]+), (0x[0-9a-f]+)\]/.exec(all.error.message)
  const some = await rpc('eth_getLogs', [{ address, fromBlock: from, toBlock: to }])
  assert.ok(some.length > 0 && some.length <= 10_000, `${some.length} in what was suggested`)
  const one = await rpc('eth_getLogs', [{ address, fromBlock: last, toBlock: last }])
  assert.ok(one.length >= 1000)
  // A filter tells as many blocks at a time as an answer holds, and each log once.
  const polls = []
  while (polls.flat().length < 12_000) {
    polls.push(await rpc('eth_getFilterChanges', [filter]))
    assert.ok(polls.at(-1).length > 0, 'there is more')
  }
  assert.ok(polls.length > 1, 'it is too much for one answer')
  const told = polls.flat().map(log => Number(log.blockNumber) * 1e6 + Number(log.logIndex))
  assert.equal(new Set(told).size, 12_000)
  assert.deepEqual(told, [...told].sort((a, b) => a - b))
  assert.deepEqual(await rpc('eth_getFilterChanges', [filter]), [])
  assert.equal(await rpc('eth_uninstallFilter', [filter]), true)
  assert.equal((await raw('eth_getLogs', [{ topics: [Array(1001).fill(ethers.ZeroHash)] }])).error.code, -32602)
  provider.destroy()
})

await step('more filters than there is room for', async () => {
  const ids = []
  let refused
  while (!refused && ids.length < 5000) {
    const answers = await Promise.all(Array(50).fill().map(() => raw('eth_newBlockFilter')))
    for (const { result, error } of answers) error ? (refused = error) : ids.push(result)
  }
  assert.equal(refused.code, -32005)
  assert.equal(ids.length, 128, 'an eighth of 1024 for one address')
  await Promise.all(ids.map(id => rpc('eth_uninstallFilter', [id])))
})

await step('slow clients: half a request, and answers that nobody reads', async () => {
  const halves = Array(100).fill().map(() => net.connect(Number(port), hostname, function () {
    this.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Le')
  }))
  let ended = 0
  for (const socket of halves) socket.once('close', () => (ended += 1)).on('error', () => {}).resume()
  await whileBlocksCome(8, () => eventually('all are closed', () => ended === halves.length, PATIENCE_MS))
})

await step('a WebSocket that breaks a rule is closed by name', async () => {
  const large = await open()
  const why = closed(large)
  large.send('x'.repeat(2 << 20))
  assert.equal((await why).code, 1009)
  const binary = await open()
  const unsupported = closed(binary)
  binary.send(Buffer.from([1, 2, 3]))
  assert.equal((await unsupported).code, 1003)
  const greedy = await open()
  const answers = []
  greedy.on('message', text => answers.push(JSON.parse(text)))
  for (let id = 0; id < 40; id++) greedy.send(JSON.stringify({ jsonrpc: '2.0', id, method: 'eth_subscribe', params: ['newHeads'] }))
  await eventually('all are answered', () => answers.filter(of => of.id !== undefined).length === 40)
  assert.equal(answers.filter(of => of.error?.code === -32005).length, 8, '32 subscriptions of one connection')
  greedy.terminate()
})

await step(`${sockets} WebSockets that do nothing, each with a subscription`, async () => {
  const before = memory()
  const idle = []
  for (let n = 0; n < sockets; n += 100) idle.push(...(await Promise.all(Array(100).fill().map(() => open()))))
  let heads = 0
  for (const socket of idle) {
    socket.on('message', text => { if (String(text).includes('eth_subscription')) heads += 1 })
    socket.send('{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}')
  }
  await eventually('they hear of blocks', () => heads >= 2 * sockets, PATIENCE_MS)
  const held = memory() - before
  console.log(`# ${sockets} sockets: ${held.toFixed(1)} MiB, ${((held * 1024) / sockets).toFixed(1)} KiB each`)
  assert.ok(held < 32 + sockets / 16, `${held} MiB`)
  const answer = await beforeBlocks(80, () => raw('eth_chainId'))
  assert.equal(answer.error, undefined)
  for (const socket of idle) socket.terminate()
})

await step('and blocks come as before', () => whileBlocksCome(20, () => beforeBlocks(80, () => raw('eth_chainId'))))
