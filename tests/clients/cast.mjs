// Foundry's cast on a node, as a person types it.
import assert from 'node:assert/strict'
import { ADDRESSES, KEYS, URL, compile, failure, rpc, run, step } from './lib.mjs'

const cast = (...args) => run('cast', args, { ETH_RPC_URL: URL })
const { Probe } = compile()
const [key] = KEYS

await step('cast chain-id, client, block-number, balance, nonce', async () => {
  assert.equal(Number(await cast('chain-id')), Number(await rpc('eth_chainId')))
  assert.match(await cast('client'), /^adnet\//)
  assert.ok(Number(await cast('block-number')) >= 0)
  assert.equal(await cast('balance', '--ether', ADDRESSES[0]), '1000000.000000000000000000')
  assert.equal(await cast('nonce', ADDRESSES[0]), '0')
  assert.ok(BigInt(await cast('gas-price')) > 0n)
  assert.ok(BigInt(await cast('base-fee')) > 0n)
})

const probe = await step('cast send --create', async () => {
  const args = await cast('abi-encode', 'constructor(uint256)', '5')
  const made = JSON.parse(await cast('send', '--json', '--private-key', key, '--create', Probe.bytecode + args.slice(2)))
  assert.equal(made.status, '0x1')
  assert.equal((await cast('compute-address', ADDRESSES[0], '--nonce', '0')).split(' ').pop().toLowerCase(), made.contractAddress)
  return made.contractAddress
})

const sent = await step('cast send, receipt, tx', async () => {
  const receipt = JSON.parse(await cast('send', '--json', '--private-key', key, probe, 'add(uint256,string)', '3', 'by cast'))
  assert.equal(receipt.status, '0x1')
  const same = JSON.parse(await cast('receipt', '--json', receipt.transactionHash))
  assert.equal(same.gasUsed, receipt.gasUsed)
  assert.equal(same.blockHash, receipt.blockHash)
  assert.equal(same.logs.length, 1)
  const tx = JSON.parse(await cast('tx', '--json', receipt.transactionHash))
  assert.equal(tx.from, ADDRESSES[0].toLowerCase())
  const legacy = JSON.parse(await cast('send', '--json', '--legacy', '--private-key', key, ADDRESSES[1], '--value', '1ether'))
  assert.equal(legacy.type, '0x0')
  return receipt
})

await step('cast call, and its reasons', async () => {
  assert.equal(await cast('call', probe, 'count()(uint256)'), '8')
  assert.equal(await cast('call', probe, 'divide(uint256,uint256)(uint256)', '12', '4'), '3')
  assert.match((await failure(cast('call', probe, 'failWithReason()'))).stderr, /a reason/)
  const custom = await failure(cast('call', probe, 'failWithError(uint256)', '9'))
  assert.match(custom.stderr, new RegExp(await cast('sig', 'TooMuch(uint256,uint256)')))
  assert.match((await failure(cast('call', probe, 'divide(uint256,uint256)(uint256)', '1', '0'))).stderr, /(division or modulo by zero|0x4e487b71)/)
  assert.ok(Number(await cast('estimate', '--from', ADDRESSES[0], probe, 'add(uint256,string)', '1', 'x')) > 21000)
})

await step('cast block, with its transactions', async () => {
  const block = JSON.parse(await cast('block', '--json', sent.blockHash))
  assert.equal(block.number, sent.blockNumber)
  assert.ok(block.transactions.includes(sent.transactionHash))
  assert.equal(JSON.parse(await cast('block', '--json', 'finalized')).parentHash.length, 66)
})

await step('cast logs', async () => {
  const logs = JSON.parse(await cast('logs', '--json', '--from-block', '0', '--address', probe, 'Counted(address indexed,uint256 indexed,string)', ADDRESSES[0]))
  assert.equal(logs.length, 2)
  assert.equal(logs[1].transactionHash, sent.transactionHash)
})

await step('cast storage, code, proof', async () => {
  assert.equal(BigInt(await cast('storage', probe, '0')), 8n)
  assert.equal(await cast('codehash', probe), await cast('keccak', await cast('code', probe)))
  const proof = JSON.parse(await cast('proof', probe, '0x0'))
  assert.equal(BigInt(proof.storageProof[0].value), 8n)
  assert.ok(proof.accountProof.length > 0)
})

await step('cast access-list, mktx, publish', async () => {
  assert.match(await cast('access-list', '--from', ADDRESSES[0], probe, 'count()'), new RegExp(probe.slice(2), 'i'))
  const raw = await cast('mktx', '--private-key', KEYS[1], ADDRESSES[2], '--value', '3')
  const receipt = JSON.parse(await cast('publish', raw))
  assert.equal(receipt.status ?? '0x1', '0x1')
  assert.equal(JSON.parse(await cast('rpc', 'eth_getTransactionCount', ADDRESSES[1], 'pending')), '0x1')
})
