// Uniswap v2 core as it was published: a pair of two tokens, liquidity, and a swap.
import assert from 'node:assert/strict'
import { ethers } from 'ethers'
import { ADDRESSES, KEYS, URL, artifact, compile, failure, step } from './lib.mjs'

const provider = new ethers.JsonRpcProvider(URL, undefined, { pollingInterval: 50, cacheTimeout: -1 })
const signer = new ethers.NonceManager(new ethers.Wallet(KEYS[0], provider))
const deploy = async ({ abi, bytecode }, ...args) => {
  const made = await new ethers.ContractFactory(abi, bytecode, signer).deploy(...args)
  return made.waitForDeployment()
}
const done = async sent => (await sent).wait()

const { Coin } = compile()
const factoryArtifact = artifact('@uniswap/v2-core/build/UniswapV2Factory.json')
const pairArtifact = artifact('@uniswap/v2-core/build/UniswapV2Pair.json')

const { tokens, factory } = await step('factory and two tokens', async () => {
  const factory = await deploy(factoryArtifact, ADDRESSES[0])
  const made = [await deploy(Coin, 'One', 'ONE', 10n ** 24n), await deploy(Coin, 'Two', 'TWO', 10n ** 24n)]
  const by = await Promise.all(made.map(async token => ({ token, address: await token.getAddress() })))
  by.sort((a, b) => (BigInt(a.address) < BigInt(b.address) ? -1 : 1))
  return { tokens: by, factory }
})
const [one, two] = tokens

const pair = await step('a pair, at the address that CREATE2 gives', async () => {
  const receipt = await done(factory.createPair(one.address, two.address))
  const address = await factory.getPair(one.address, two.address)
  const salt = ethers.solidityPackedKeccak256(['address', 'address'], [one.address, two.address])
  assert.equal(address, ethers.getCreate2Address(await factory.getAddress(), salt, ethers.keccak256(pairArtifact.bytecode)))
  const event = receipt.logs.map(log => factory.interface.parseLog(log)).find(log => log?.name === 'PairCreated')
  assert.equal(event.args.pair, address)
  return new ethers.Contract(address, pairArtifact.abi, signer)
})
const address = await pair.getAddress()

await step('liquidity', async () => {
  await done(one.token.transfer(address, 5n * 10n ** 18n))
  await done(two.token.transfer(address, 20n * 10n ** 18n))
  await done(pair.mint(ADDRESSES[0]))
  assert.equal(await pair.totalSupply(), 10n ** 19n)
  assert.equal(await pair.balanceOf(ADDRESSES[0]), 10n ** 19n - 1000n)
})

await step('a swap, which keeps to its formula', async () => {
  const [reserveIn, reserveOut] = await pair.getReserves()
  const amountIn = 10n ** 17n
  const withFee = amountIn * 997n
  const amountOut = (withFee * reserveOut) / (reserveIn * 1000n + withFee)
  await done(one.token.transfer(address, amountIn))
  const greedy = await failure(pair.swap.staticCall(0, amountOut + 1n, ADDRESSES[1], '0x'))
  assert.equal(greedy.reason, 'UniswapV2: K')
  const receipt = await done(pair.swap(0, amountOut, ADDRESSES[1], '0x'))
  const names = receipt.logs.map(log => pair.interface.parseLog(log)?.name)
  assert.deepEqual(names, ['Transfer', 'Sync', 'Swap'])
  assert.equal(await two.token.balanceOf(ADDRESSES[1]), amountOut)
  const [after0, after1] = await pair.getReserves()
  assert.equal(after0, reserveIn + amountIn)
  assert.equal(after1, reserveOut - amountOut)
  assert.ok(after0 * after1 > reserveIn * reserveOut, 'the fee stays in the pool')
})

await step('the price, time-weighted, goes on with the blocks', async () => {
  const before = await pair.price0CumulativeLast()
  await new Promise(resolve => setTimeout(resolve, 1100))
  await done(pair.sync())
  assert.ok((await pair.price0CumulativeLast()) > before)
})

provider.destroy()
