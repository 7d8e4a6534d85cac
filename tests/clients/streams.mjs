// The streams of a node: /v1/ws, readers that are too slow, and what subscribers see while blocks are full.
import assert from 'node:assert/strict'
import { ethers } from 'ethers'
import WebSocket from 'ws'
import { ADDRESSES, KEYS, URL, WS_URL, compile, eventually, rpc, step } from './lib.mjs'

const provider = new ethers.JsonRpcProvider(URL, undefined, { pollingInterval: 50, cacheTimeout: -1, batchMaxCount: 1 })
const signer = new ethers.NonceManager(new ethers.Wallet(KEYS[0], provider))
const get = async path => (await (await fetch(URL + path)).json()).data

const open = url =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(url)
    socket.told = []
    socket.on('message', text => socket.told.push(JSON.parse(text)))
    socket.once('open', () => resolve(socket))
    socket.once('error', reject)
    socket.once('unexpected-response', (_, answer) => {
      let body = ''
      answer.on('data', piece => (body += piece)).on('end', () => reject(Object.assign(new Error(body), { status: answer.statusCode })))
    })
  })

await step('/v1/ws: blocks as the route shows them, none left out', async () => {
  const socket = await open(`${WS_URL}/v1/ws`)
  await eventually('blocks', () => socket.told.length >= 4)
  const [first, ...rest] = socket.told
  assert.equal(first.channel, 'blocks')
  assert.deepEqual(first.data, await get(`/v1/blocks/${first.data.height}`))
  rest.forEach(({ data }, index) => assert.equal(data.height, first.data.height + index + 1))
  socket.terminate()
})

await step('/v1/ws: transactions, waiting and final', async () => {
  const socket = await open(`${WS_URL}/v1/ws?channels=transactions,pending`)
  const sent = await signer.sendTransaction({ to: ADDRESSES[1], value: 1n })
  const receipt = await sent.wait()
  const plain = sent.hash.slice(2)
  await eventually('it waits', () => socket.told.some(({ channel, data }) => channel === 'pending' && data.hashes.includes(plain)))
  const told = await eventually('it is final', () =>
    socket.told.find(({ channel, data }) => channel === 'transactions' && data.height === receipt.blockNumber))
  const [line] = told.data.transactions
  assert.equal(line.hash, plain)
  assert.equal(line.gas_used, 21000)
  assert.equal(line.succeeded, true)
  assert.ok(!socket.told.some(({ channel }) => channel === 'blocks'))
  socket.terminate()
})

await step('/v1/ws: what is no channel or no WebSocket is told in the envelope', async () => {
  const refused = await open(`${WS_URL}/v1/ws?channels=trades`).then(() => undefined, error => error)
  assert.equal(refused.status, 400)
  assert.equal(JSON.parse(refused.message).error.code, 'INVALID_REQUEST')
  assert.equal((await fetch(URL + '/v1/ws')).status, 400)
})

const { abi, bytecode } = compile().Probe
const probe = await (await new ethers.ContractFactory(abi, bytecode, signer).deploy(0)).waitForDeployment()
const address = await probe.getAddress()
const subscribe = (socket, ...params) => socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_subscribe', params }))

await step('a subscriber of logs hears of each, in order', async () => {
  const socket = await open(WS_URL)
  subscribe(socket, 'logs', { address })
  await eventually('subscribed', () => socket.told.length === 1)
  const sent = []
  for (let n = 0; n < 3; n++) sent.push(await probe.many(500, { gasLimit: 2_000_000 }))
  await Promise.all(sent.map(tx => tx.wait()))
  const logs = () => socket.told.filter(of => of.method).map(of => of.params.result)
  await eventually('all logs', () => logs().length === 1500)
  const keys = logs().map(log => Number(log.blockNumber) * 1e6 + Number(log.logIndex))
  assert.deepEqual(keys, [...keys].sort((a, b) => a - b))
  const stored = await rpc('eth_getLogs', [{ address, fromBlock: '0x0' }])
  assert.deepEqual(logs(), stored.slice(1), 'the first is of the deployment')
  socket.terminate()
})

await step('a reader that is too slow is closed by name, and others are not', async () => {
  const [slow, quick] = [await open(WS_URL), await open(WS_URL)]
  for (let n = 0; n < 32; n++) subscribe(slow, 'logs', { address })
  subscribe(quick, 'newHeads')
  await eventually('subscribed', () => slow.told.length === 32)
  slow.pause()
  const sent = []
  for (let n = 0; n < 4; n++) sent.push(await probe.many(1000, { gasLimit: 4_000_000 }))
  await Promise.all(sent.map(tx => tx.wait()))
  const from = Number(await rpc('eth_blockNumber'))
  await eventually('blocks pass', async () => Number(await rpc('eth_blockNumber')) > from + 24)
  const end = new Promise(resolve => slow.once('close', (code, reason) => resolve({ code, reason: String(reason) })))
  slow.resume()
  const { code, reason } = await end
  assert.equal(code, 1008)
  assert.match(reason, /too slow/)
  assert.equal(quick.readyState, WebSocket.OPEN)
  quick.terminate()
})

provider.destroy()
