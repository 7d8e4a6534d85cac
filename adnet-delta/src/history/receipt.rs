//! What became of a transaction.

use adnet_common::block::MAX_TX_BYTES;
use adnet_common::codec::{DecodeError, Reader, Writer};
use alloy_consensus::{Eip658Value, ReceiptEnvelope, ReceiptWithBloom, TxType};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, LogData};
use alloy_trie::root::ordered_trie_root_with_encoder;

/// Bounds of what is read back. What is written stays below them because gas pays for it:
/// 375 per log, 8 per byte of data.
const MAX_LOGS: usize = 1 << 20;
const MAX_LOG_BYTES: usize = 1 << 26;
const MAX_TOPICS: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub tx_type: u8,
    pub from: Address,
    /// Absent where the transaction deploys.
    pub to: Option<Address>,
    /// False for one that reverted or ran out of gas: it paid, and did nothing else.
    pub success: bool,
    pub gas_used: u64,
    /// In the block, up to and including this one.
    pub cumulative_gas_used: u64,
    pub effective_gas_price_wei: u128,
    /// Where the transaction deploys to.
    pub contract: Option<Address>,
    /// Logs of the block before this transaction's first.
    pub first_log: u32,
    pub logs: Vec<Log>,
}

const _: () = assert!(MAX_TX_BYTES <= MAX_LOG_BYTES);

impl Receipt {
    pub fn bloom(&self) -> Bloom {
        let mut bloom = Bloom::ZERO;
        self.logs.iter().for_each(|log| bloom.accrue_log(log));
        bloom
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(128);
        w.u8(self.tx_type).raw(self.from.as_slice());
        address(&mut w, self.to);
        w.u8(u8::from(self.success))
            .u64(self.gas_used)
            .u64(self.cumulative_gas_used);
        w.u128(self.effective_gas_price_wei);
        address(&mut w, self.contract);
        w.u32(self.first_log);
        w.list(&self.logs, |w, log| {
            w.raw(log.address.as_slice());
            w.list(log.topics(), |w, topic| {
                w.raw(topic.as_slice());
            });
            w.bytes(&log.data.data);
        });
        w.finish()
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            tx_type: r.u8("transaction type")?,
            from: Address::new(r.array("sender")?),
            to: read_address(r)?,
            success: r.u8("status")? == 1,
            gas_used: r.u64("gas used")?,
            cumulative_gas_used: r.u64("cumulative gas used")?,
            effective_gas_price_wei: r.u128("effective gas price")?,
            contract: read_address(r)?,
            first_log: r.u32("first log")?,
            logs: r.list("logs", MAX_LOGS, |r| {
                let address = Address::new(r.array("log address")?);
                let topics = r.list("topics", MAX_TOPICS, |r| Ok(B256::new(r.array("topic")?)))?;
                let data = Bytes::copy_from_slice(r.bytes("log data", MAX_LOG_BYTES)?);
                Ok(Log {
                    address,
                    data: LogData::new_unchecked(topics, data),
                })
            })?,
        })
    }
}

/// The root of the trie of a block's receipts, as Ethereum's headers name it (yellow paper, 4.4.3; the
/// encoding of each is that of EIP-2718). Delta's header does not hold it: whoever has the receipts of a
/// block checks them against what a node says.
pub fn root(receipts: &[Receipt]) -> B256 {
    ordered_trie_root_with_encoder(receipts, |receipt, out| {
        let body = alloy_consensus::Receipt {
            status: Eip658Value::Eip658(receipt.success),
            cumulative_gas_used: receipt.cumulative_gas_used,
            logs: receipt.logs.clone(),
        };
        let tx_type = TxType::try_from(receipt.tx_type);
        let tx_type = tx_type.expect("only transactions of known types are executed");
        let body = ReceiptWithBloom::new(body, receipt.bloom());
        ReceiptEnvelope::from_typed(tx_type, body).encode_2718(out);
    })
}

fn address(w: &mut Writer, address: Option<Address>) {
    match address {
        None => w.u8(0),
        Some(address) => w.u8(1).raw(address.as_slice()),
    };
}

fn read_address(r: &mut Reader<'_>) -> Result<Option<Address>, DecodeError> {
    match r.u8("address flag")? {
        0 => Ok(None),
        1 => Ok(Some(Address::new(r.array("address")?))),
        _ => Err(r.invalid("address flag", "neither 0 nor 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_survives_its_encoding_and_no_prefix_of_it_does() {
        let log = |topics: Vec<B256>| Log {
            address: Address::repeat_byte(9),
            data: LogData::new_unchecked(topics, Bytes::from_static(b"data")),
        };
        let receipt = Receipt {
            tx_type: 2,
            from: Address::repeat_byte(1),
            to: None,
            success: true,
            gas_used: 21_000,
            cumulative_gas_used: 42_000,
            effective_gas_price_wei: u128::MAX,
            contract: Some(Address::repeat_byte(3)),
            first_log: 17,
            logs: vec![log(vec![]), log(vec![B256::repeat_byte(4); 4])],
        };
        let bytes = receipt.encode();
        assert_eq!(Receipt::decode(&mut Reader::new(&bytes)), Ok(receipt));
        for len in 0..bytes.len() {
            assert!(Receipt::decode(&mut Reader::new(&bytes[..len])).is_err());
        }
    }
}
