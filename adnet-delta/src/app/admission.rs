//! Whether the state allows a transaction into the mempool.

use crate::state::{Account, WorldState};
use crate::transaction::{DeltaTx, max_cost_wei};
use adnet_common::application::{Admission, TxError, VerifiedTx};

pub fn check(state: &WorldState, tx: &VerifiedTx<DeltaTx>) -> Result<Admission, TxError> {
    let env = &tx.inner.env;
    let absent = Account::default();
    let account = state.account_at(&tx.inner.path).unwrap_or(&absent);
    if env.nonce < account.nonce {
        let (next, have) = (account.nonce, env.nonce);
        let message = format!("nonce too low: next nonce {next}, tx nonce {have}");
        return Err(TxError::new("NONCE_TOO_LOW", message));
    }
    let delegates = |code: &crate::state::Code| code.bytecode().is_eip7702();
    if !account.code.as_ref().is_none_or(delegates) {
        let message = format!("sender not an eoa: {} is a contract (EIP-3607)", env.caller);
        return Err(TxError::new("SENDER_IS_CONTRACT", message));
    }
    let cost = max_cost_wei(env).expect("verified transactions have a cost that is a number");
    if account.balance < cost {
        let (address, balance) = (env.caller, account.balance);
        let message = format!(
            "insufficient funds for gas * price + value: address {address} have {balance} want {cost}"
        );
        return Err(TxError::new("INSUFFICIENT_BALANCE", message));
    }
    Ok(Admission {
        account_nonce: account.nonce,
    })
}
