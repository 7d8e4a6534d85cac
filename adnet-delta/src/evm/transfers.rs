//! Wei that moves in a simulation, as the logs that `eth_simulateV1` shows with `traceTransfers`: those that
//! a token for it would emit (ERC-7528).
//!
//! They are put together beside the execution, which neither pays for them nor sees them. What a frame has
//! moved is forgotten with it when it fails.

use super::DeltaContext;
use alloy_primitives::{Address, B256, Log, LogData, U256, address, b256};
use revm::context::{ContextTr, JournalTr};
use revm::inspector::Inspector;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome};
use std::iter;

/// Which contract seems to emit them.
const WEI_ADDRESS: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// Keccak-256 of `Transfer(address,address,uint256)`.
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Transfers {
    seen: Vec<Transfer>,
    /// Logs of the transaction so far.
    logs: usize,
    /// What was seen, and how many logs there were, before each open frame.
    frames: Vec<(usize, usize)>,
}

#[derive(Clone, Debug)]
struct Transfer {
    /// Logs before it.
    logs: usize,
    log: Log,
}

impl Transfers {
    fn enter(&mut self, from: Address, to: Address, wei: U256) {
        self.frames.push((self.seen.len(), self.logs));
        self.saw(from, to, wei);
    }

    fn saw(&mut self, from: Address, to: Address, wei: U256) {
        if wei.is_zero() {
            return;
        }
        let topics = vec![TRANSFER, from.into_word(), to.into_word()];
        let data = wei.to_be_bytes::<32>().into();
        let log = Log {
            address: WEI_ADDRESS,
            data: LogData::new_unchecked(topics, data),
        };
        let logs = self.logs;
        self.seen.push(Transfer { logs, log });
    }

    fn leave(&mut self, is_success: bool) {
        let before = self.frames.pop();
        let (seen, logs) = before.expect("each frame that ends has begun");
        if !is_success {
            self.seen.truncate(seen);
            self.logs = logs;
        }
    }

    /// The logs of the transaction that was executed last with the transfers between them, which are
    /// forgotten.
    pub fn among(&mut self, logs: Vec<Log>) -> Vec<Log> {
        let seen = std::mem::take(self).seen;
        let mut seen = seen.into_iter().peekable();
        let mut all = Vec::with_capacity(logs.len() + seen.len());
        for (index, log) in logs.into_iter().enumerate() {
            let before = iter::from_fn(|| seen.next_if(|transfer| transfer.logs <= index));
            all.extend(before.map(|transfer| transfer.log));
            all.push(log);
        }
        all.extend(seen.map(|transfer| transfer.log));
        all
    }
}

impl<'a> Inspector<DeltaContext<'a>, EthInterpreter> for Transfers {
    fn log(&mut self, ctx: &mut DeltaContext<'a>, _log: Log) {
        self.logs = ctx.journal().logs().len();
    }

    fn call(&mut self, _: &mut DeltaContext<'a>, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let wei = inputs.transfer_value().unwrap_or_default();
        self.enter(inputs.caller, inputs.target_address, wei);
        None
    }

    fn call_end(&mut self, _: &mut DeltaContext<'a>, _: &CallInputs, outcome: &mut CallOutcome) {
        self.leave(outcome.result.is_ok());
    }

    fn create(
        &mut self,
        ctx: &mut DeltaContext<'a>,
        inputs: &mut CreateInputs,
    ) -> Option<CreateOutcome> {
        let caller = ctx.journal_mut().load_account(inputs.caller());
        let nonce = caller.expect("a state in memory has no errors").info.nonce;
        self.enter(
            inputs.caller(),
            inputs.created_address(nonce),
            inputs.value(),
        );
        None
    }

    fn create_end(
        &mut self,
        _: &mut DeltaContext<'a>,
        _: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        self.leave(outcome.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, heir: Address, wei: U256) {
        self.saw(contract, heir, wei);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_stand_between_the_logs_and_go_with_their_frames() {
        let (a, b) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let log = |n: u8| Log {
            address: Address::repeat_byte(n),
            data: LogData::default(),
        };
        let wei = |n: u64| U256::from(n);
        let mut transfers = Transfers::default();
        transfers.enter(a, b, wei(1));
        transfers.logs = 1;
        transfers.enter(b, a, wei(2));
        transfers.enter(a, b, U256::ZERO);
        transfers.logs = 2;
        transfers.leave(true);
        transfers.leave(false);
        transfers.enter(b, a, wei(3));
        transfers.logs = 2;
        transfers.leave(true);
        transfers.leave(true);
        let all = transfers.among(vec![log(8), log(9)]);
        let amounts: Vec<u8> = all
            .iter()
            .map(|log| *log.data.data.last().unwrap_or(&0))
            .collect();
        assert_eq!(amounts, [1, 0, 3, 0]);
        assert!(transfers.among(Vec::new()).is_empty());
    }
}
