//! Errors of the JSON-RPC API, with the codes and words that Ethereum's clients know.
//!
//! | code | what |
//! | --- | --- |
//! | 3 | the call reverted; `data` is the revert data |
//! | −32602 | the parameters are not what the method takes |
//! | −32601 | there is no such method |
//! | −32603 | this node failed; its log has the cause |
//! | −32005 | busy, or a bound is exceeded: try again later or ask for less |
//! | −32000 | everything else, as geth words it |

use crate::attest::abi::decode_reason;
use crate::evm::Refusal;
use crate::evm::simulate::EstimateError;
use crate::history::HistoryError;
use adnet_common::api::ApiError;
use adnet_common::application::TxError;
use adnet_common::ledger::LedgerError;
use adnet_common::store::StoreError;
use alloy_primitives::Bytes;
use jsonrpsee::types::ErrorObjectOwned;
use revm::context::result::InvalidTransaction;

const REVERTED: i32 = 3;
const SERVER: i32 = -32000;
const LIMIT: i32 = -32005;
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
        let message = match decode_reason(&output) {
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
            other => other.to_string(),
        };
        Self::server(message)
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
