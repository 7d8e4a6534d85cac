// The fixtures of execution-apis for eth_simulateV1 on a node: beside the shape of an answer what came of each
// call (status, gas, logs, output), because it depends on what the fixture supposes and not on the chain.
import assert from 'node:assert/strict'
import { ethers } from 'ethers'
import { fixtures, wrong } from './fixtures.mjs'
import { eventually, raw, rpc, step } from './lib.mjs'

// Fixtures that do not apply here, and why. Each must differ.
const HEIR = 'the heir is address zero, which is the fee recipient there and so costs less (EIP-3651)'
const MOVES = 'precompiles stay where they are: movePrecompileToAddress is refused'
const EXCEPTIONS = {
  blobs: 'there are no blob transactions (EIP-4844)',
  'block-override-reflected-in-contract-simple': 'its times overlap only where blocks in between take twelve seconds each',
  'overflow-nonce-validation': 'the call has two faults, and the other one, that it pays no base fee, is told first',
  'self-destructing-state-override': HEIR,
  'self-destructive-contract-produces-logs': HEIR,
  'move-ecrecover-and-call-old-and-new': MOVES,
  'move-ecrecover-and-call': MOVES,
  'move-ecrecover-twice-and-call': MOVES,
  'move-to-address-itself-reference-38022': MOVES,
  'move-two-accounts-to-same-38023': MOVES,
  'move-two-non-precompiles-accounts-to-same': MOVES,
  'override-ecrecover': MOVES,
  'override-identity': MOVES,
  'override-sha256': MOVES,
  'try-to-move-non-precompile': MOVES,
  'use-as-many-features-as-possible': MOVES,
}

const name = file => /ethSimulate-(.*)\.io$/.exec(file)[1]
// Their chain: the number of its last block, and that block's time.
const THEIRS = { number: 0x36, time: 0x21e }

// The fixtures ask for hashes of blocks some way back.
await eventually('enough blocks', async () => Number(await rpc('eth_blockNumber')) > THEIRS.number)

/** A fixture's parameters, on top of our block `head`. */
function ours([asked, block], head) {
  const number = text => ethers.toQuantity(BigInt(head.number) + BigInt(text) - BigInt(THEIRS.number))
  const time = text => ethers.toQuantity(BigInt(head.timestamp) + BigInt(text) - BigInt(THEIRS.time))
  const blockStateCalls = asked.blockStateCalls.map(({ blockOverrides, ...rest }) => {
    const supposed = { ...blockOverrides }
    if (supposed.number) supposed.number = number(supposed.number)
    if (supposed.time) supposed.time = time(supposed.time)
    return { ...rest, ...(blockOverrides ? { blockOverrides: supposed } : {}) }
  })
  const at = { latest: head.number, '0x1': '0x1' }[block] ?? number(block)
  return [{ ...asked, blockStateCalls }, at]
}

/** What came of the calls, which is the same on every chain. */
const outcome = result =>
  result.map(({ calls }) => calls.map(({ status, gasUsed, logs, error }) => ({ status, gasUsed, logs: logs.length, error: error?.code, message: error?.message })))

const files = fixtures(/^eth_simulateV1\//)

await step(`${files.length} fixtures, ${Object.keys(EXCEPTIONS).length} of which do not apply`, async () => {
  const differences = []
  let compared = 0
  for (const { file, lines } of files) {
    const [question, theirs] = ['>> ', '<< '].map(kind => JSON.parse(lines.find(line => line.startsWith(kind)).slice(3)))
    const head = await rpc('eth_getBlockByNumber', ['latest', false])
    const own = await raw('eth_simulateV1', ours(question.params, head))
    compared += 1
    let found = wrong(theirs, own)
    if (!found && theirs.result) {
      const [a, b] = [outcome(theirs.result), outcome(own.result)].map(of => JSON.stringify(of))
      if (a !== b) found = `${b} for ${a}`
    }
    if (!!found !== name(file) in EXCEPTIONS) differences.push(`${name(file)}: ${found?.slice(0, 400) ?? 'no exception any more'}`)
  }
  console.log(`# ${compared} answers compared`)
  assert.deepEqual(differences, [])
})
