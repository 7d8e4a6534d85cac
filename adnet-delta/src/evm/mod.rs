//! The one place that knows `revm`: how a block's transactions and the API's calls are executed.
//!
//! Ethereum's rules of Prague with two differences: nothing is burned, it goes to the fee pool
//! (`fees`), and native code answers at the addresses of the system programs (`system`). A block
//! runs on `block`, a call without a transaction on `simulate`; both build the same EVM, here.

pub mod access_list;
pub mod block;
mod database;
mod fees;
pub mod overrides;
pub mod sequence;
pub mod simulate;
#[cfg(test)]
mod suite;
mod system;
mod transfers;

use crate::attest::FEE_POOL_ADDRESS;
use crate::programs::native::NativeState;
use crate::rules::Rules;
use crate::state::WorldState;
use adnet_common::hash::Hash;
use alloy_primitives::{B256, U256};
use database::{DatabaseView, LoadedState};
use fees::{FeePoolHandler, Sender};
use revm::context::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction};
use revm::context::{BlockEnv, CfgEnv, Context, ContextSetters, Evm, Journal, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, Handler};
use revm::inspector::InspectorHandler;
use revm::interpreter::interpreter::EthInterpreter;
use revm::primitives::hardfork::SpecId;
use system::SystemPrecompiles;
use transfers::Transfers;

pub use database::RecentHashes;

/// Delta's hard fork.
const SPEC: SpecId = SpecId::PRAGUE;

type DeltaContext<'a> =
    Context<BlockEnv, TxEnv, CfgEnv, LoadedState<'a>, Journal<LoadedState<'a>>, NativeState<'a>>;

type DeltaEvm<'a> = Evm<
    DeltaContext<'a>,
    Transfers,
    EthInstructions<EthInterpreter, DeltaContext<'a>>,
    SystemPrecompiles,
    EthFrame<EthInterpreter>,
>;

/// Where execution happens.
#[derive(Copy, Clone, Debug)]
pub struct BlockPlace {
    pub height: u64,
    pub time_ms: u64,
    pub parent: Hash,
    pub base_fee_wei: u64,
}

/// Why a transaction cannot be executed at all. (One that reverts can.)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Invalid(InvalidTransaction),
    /// A precompile failed in a way that the rules do not know.
    #[error("the EVM failed: {0}")]
    Failed(String),
}

/// An EVM on `state`, at `place`.
fn build<'a>(
    rules: &Rules,
    state: &'a WorldState,
    hashes: &'a RecentHashes,
    place: &BlockPlace,
) -> DeltaEvm<'a> {
    let mut cfg = CfgEnv::new_with_spec(SPEC).with_chain_id(rules.chain_id);
    cfg.tx_gas_limit_cap = Some(rules.tx_gas_limit);
    let block = BlockEnv {
        number: U256::from(place.height),
        beneficiary: FEE_POOL_ADDRESS,
        timestamp: U256::from(place.time_ms / 1000),
        gas_limit: rules.block_gas_limit,
        basefee: place.base_fee_wei,
        prevrandao: Some(prev_randao(place.height, &place.parent)),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
            excess_blob_gas: 0,
            blob_gasprice: 1,
        }),
        ..BlockEnv::default()
    };
    let loaded = database::load(DatabaseView {
        state,
        hashes,
        place: *place,
    });
    let ctx: Context<_, _, _, _, _, ()> = Context::new(loaded, SPEC);
    let mut ctx: DeltaContext<'a> = ctx.with_chain(NativeState::new(rules, state));
    ctx.cfg = cfg;
    ctx.block = block;
    let instructions = EthInstructions::new_mainnet_with_spec(SPEC);
    let precompiles = SystemPrecompiles::new(SPEC);
    Evm::new_with_inspector(ctx, Transfers::default(), instructions, precompiles)
}

/// What PREVRANDAO gives in a block: it differs per block, and everybody knows it before.
pub fn prev_randao(height: u64, parent: &Hash) -> B256 {
    let height = height.to_be_bytes();
    B256::new(Hash::of("adnet/delta/prevrandao/v1", &[&height, &parent.0]).0)
}

/// Executes one transaction, and the actions that its contracts have sent. Its changes stay in the
/// journal; a refused one leaves none, and one that fails leaves the native state as it was.
fn run(evm: &mut DeltaEvm<'_>, tx: TxEnv, sender: Sender) -> Result<ExecutionResult, Refusal> {
    run_with(evm, tx, sender, |handler, evm| handler.run(evm))
}

/// The same, and what wei it moves is noted: `evm.inspector`.
fn run_noting_transfers(
    evm: &mut DeltaEvm<'_>,
    tx: TxEnv,
    sender: Sender,
) -> Result<ExecutionResult, Refusal> {
    run_with(evm, tx, sender, |handler, evm| handler.inspect_run(evm))
}

type Executed<'a> = Result<ExecutionResult, <FeePoolHandler<'a> as Handler>::Error>;

fn run_with<'a>(
    evm: &mut DeltaEvm<'a>,
    mut tx: TxEnv,
    sender: Sender,
    run: impl FnOnce(&mut FeePoolHandler<'a>, &mut DeltaEvm<'a>) -> Executed<'a>,
) -> Result<ExecutionResult, Refusal> {
    if sender == Sender::Anybody {
        // Nobody compares it with the account's, and the account may have the last one.
        tx.nonce = 0;
    }
    evm.ctx.set_tx(tx);
    evm.ctx.chain.begin_transaction();
    let before = evm.ctx.chain.checkpoint();
    let result = run(&mut FeePoolHandler::new(sender), evm);
    if !result.as_ref().is_ok_and(ExecutionResult::is_success) {
        evm.ctx.chain.roll_back(before);
    }
    result.map_err(|error| match error {
        EVMError::Transaction(invalid) => Refusal::Invalid(invalid),
        EVMError::Custom(message) => Refusal::Failed(message),
        EVMError::CustomAny(any) => Refusal::Failed(any.to_string()),
        EVMError::Header(e) => {
            unreachable!("the block environment has all fields of Prague: {e:?}")
        }
        EVMError::Database(e) => unreachable!("a state in memory has no read errors: {e:?}"),
    })
}

/// Whether an execution stopped for another reason than a revert, by name.
fn halt_name(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".into(),
        other => format!("{other:?}"),
    }
}
