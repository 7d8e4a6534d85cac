//! Errors of the JSON-RPC API, with the codes and words that Ethereum's clients know.
//!
//! | code | what |
//! | --- | --- |
//! | 3 | the call reverted; `data` is the revert data |
//! | −32602 | the parameters are not what the method takes |
//! | −32601 | there is no such method |
//! | −32603 | this node failed; its log has the cause |
//! | 4444 | this node does not have that history |
//! | −32005 | busy, or a bound is exceeded: try again later or ask for less |
//! | −32000 | everything else, as geth words it |

use crate::abi::decode_reason;
use crate::evm::Refusal;
use crate::evm::simulate::EstimateError;
use crate::history::HistoryError;
use crate::state::leaves::RowError;
use adnet_common::api::ApiError;
use adnet_common::application::TxError;
use adnet_common::ledger::LedgerError;
use adnet_common::store::StoreError;
use alloy_primitives::{Bytes, U256};
use jsonrpsee::types::ErrorObjectOwned;
use revm::context::result::InvalidTransaction;

const REVERTED: i32 = 3;
const SERVER: i32 = -32000;
const LIMIT: i32 = -32005;
const PRUNED: i32 = 4444;
const INVALID_PARAMS: i32 = -32602;
const INTERNAL: i32 = -32603;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    code: i32,
    message: String,
    data: Option<Bytes>,
}

impl RpcError {
    fn new(code: i32, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            message,
            data: None,
        }
    }

    /// An error that the specification of a method numbers.
    pub fn numbered(code: i32, message: impl Into<String>) -> Self {
        Self::new(code, message)
    }

    /// What this node does not have any more, or never had.
    pub fn pruned(message: impl Into<String>) -> Self {
        Self::new(PRUNED, message)
    }

    pub fn server(message: impl Into<String>) -> Self {
        Self::new(SERVER, message)
    }

    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(LIMIT, message)
    }

    /// The cause goes to the log and not to the client.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "the JSON-RPC API could not answer");
        Self::new(INTERNAL, "the node failed to answer; its log has the cause")
    }

    pub fn reverted(output: Bytes) -> Self {
        let reason = decode_reason(&output).or_else(|| panic_reason(&output));
        let message = match reason {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        let data = Some(output);
        Self {
            code: REVERTED,
            message,
            data,
        }
    }
}

/// What Solidity's `Panic(uint256)` means, in geth's words.
fn panic_reason(output: &[u8]) -> Option<String> {
    const SELECTOR: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];
    let code = output.strip_prefix(&SELECTOR)?;
    let code = U256::from_be_bytes(<[u8; 32]>::try_from(code).ok()?);
    let words = match u8::try_from(code).unwrap_or(u8::MAX) {
        0x00 => "generic panic",
        0x01 => "assert(false)",
        0x11 => "arithmetic underflow or overflow",
        0x12 => "division or modulo by zero",
        0x21 => "enum overflow",
        0x22 => "invalid encoded storage byte array accessed",
        0x31 => "out-of-bounds array access; popping on an empty array",
        0x32 => "out-of-bounds access of an array or bytesN",
        0x41 => "out of memory",
        0x51 => "uninitialized function",
        _ => return Some(format!("unknown panic code: {code:#x}")),
    };
    Some(words.to_owned())
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        ErrorObjectOwned::owned(error.code, error.message, error.data)
    }
}

/// jsonrpsee's own errors are those of parameters.
impl From<ErrorObjectOwned> for RpcError {
    fn from(error: ErrorObjectOwned) -> Self {
        let why = error
            .data()
            .map_or("", |data| data.get())
            .trim_matches('"')
            .to_owned();
        Self::new(error.code(), format!("invalid argument: {why}"))
    }
}

impl From<TxError> for RpcError {
    fn from(error: TxError) -> Self {
        let code = match error.code {
            "OVERLOADED" | "UNAVAILABLE" | "MEMPOOL_FULL" => LIMIT,
            "INTERNAL" => INTERNAL,
            _ => SERVER,
        };
        Self::new(code, error.message)
    }
}

impl From<ApiError> for RpcError {
    fn from(error: ApiError) -> Self {
        Self::from(TxError::new(error.code, error.message))
    }
}

impl From<HistoryError> for RpcError {
    fn from(error: HistoryError) -> Self {
        match &error {
            HistoryError::Store(StoreError::Unreachable(_)) => unreachable_store(),
            _ => Self::internal(&error),
        }
    }
}

impl From<RowError> for RpcError {
    fn from(error: RowError) -> Self {
        match &error {
            RowError::Store(StoreError::Unreachable(_)) => unreachable_store(),
            _ => Self::internal(&error),
        }
    }
}

impl From<LedgerError> for RpcError {
    fn from(error: LedgerError) -> Self {
        match &error {
            LedgerError::Store(StoreError::Unreachable(_)) => unreachable_store(),
            _ => Self::internal(&error),
        }
    }
}

fn unreachable_store() -> RpcError {
    RpcError::limit("the store cannot be reached: try again in a moment")
}

impl From<Refusal> for RpcError {
    fn from(refusal: Refusal) -> Self {
        let message = match refusal {
            Refusal::Invalid(InvalidTransaction::LackOfFundForMaxFee { fee, balance }) => {
                format!("insufficient funds for gas * price + value: have {balance} want {fee}")
            }
            Refusal::Invalid(InvalidTransaction::GasPriceLessThanBasefee) => {
                "max fee per gas less than block base fee".to_owned()
            }
            Refusal::Invalid(InvalidTransaction::CallGasCostMoreThanGasLimit {
                initial_gas,
                gas_limit,
            }) => format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}"),
            Refusal::Invalid(InvalidTransaction::NonceOverflowInTransaction) => {
                "nonce has max value".to_owned()
            }
            other => other.to_string(),
        };
        Self::server(message)
    }
}

/// The numbers that `eth_simulateV1` gives to what makes a call impossible.
pub fn refusal_code(refusal: &Refusal) -> i32 {
    match refusal {
        Refusal::Invalid(InvalidTransaction::NonceTooLow { .. }) => -38010,
        Refusal::Invalid(InvalidTransaction::NonceTooHigh { .. }) => -38011,
        Refusal::Invalid(InvalidTransaction::GasPriceLessThanBasefee) => -38012,
        Refusal::Invalid(
            InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
            | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
        ) => -38013,
        Refusal::Invalid(InvalidTransaction::LackOfFundForMaxFee { .. }) => -38014,
        Refusal::Invalid(InvalidTransaction::CallerGasLimitMoreThanBlock) => -38015,
        Refusal::Invalid(InvalidTransaction::RejectCallerWithCode) => -38024,
        Refusal::Invalid(InvalidTransaction::CreateInitCodeSizeLimit) => -38025,
        // It has no number of its own.
        Refusal::Invalid(InvalidTransaction::NonceOverflowInTransaction) => INTERNAL,
        Refusal::Invalid(_) | Refusal::Failed(_) => SERVER,
    }
}

impl From<EstimateError> for RpcError {
    fn from(error: EstimateError) -> Self {
        match error {
            EstimateError::Refused(refusal) => refusal.into(),
            EstimateError::Revert(output) => Self::reverted(output),
            EstimateError::Halt(reason) => Self::server(format!("execution failed: {reason}")),
            EstimateError::Exceeds { allowance } => {
                Self::server(format!("gas required exceeds allowance ({allowance})"))
            }
        }
    }
}
