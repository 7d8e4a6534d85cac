//! A text as the frames that carry it (RFC 6455, section 5.4).
//!
//! The library copies each frame into a buffer that grows to the longest one, never shrinks while the
//! connection lasts, and is moved by what was written after each write. So a long text goes in fragments,
//! of which the buffer has one at a time.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// What one frame carries at most.
const FRAGMENT_BYTES: usize = 64 << 10;

/// All of them share the text's memory. A character may be cut: only the whole has to be UTF-8.
pub(super) fn fragments(text: String) -> impl Iterator<Item = Frame> {
    let mut rest = Some(Bytes::from(text));
    let mut kind = Data::Text;
    std::iter::from_fn(move || {
        let mut payload = rest.take()?;
        if payload.len() > FRAGMENT_BYTES {
            rest = Some(payload.split_off(FRAGMENT_BYTES));
        }
        let opcode = OpCode::Data(std::mem::replace(&mut kind, Data::Continue));
        Some(Frame::message(payload, opcode, rest.is_none()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: OpCode = OpCode::Data(Data::Text);
    const MORE: OpCode = OpCode::Data(Data::Continue);

    #[test]
    fn a_text_is_cut_at_the_bound_and_the_last_frame_is_final() {
        let max = FRAGMENT_BYTES;
        let cases = [
            (0, vec![(TEXT, 0, true)]),
            (max, vec![(TEXT, max, true)]),
            (max + 1, vec![(TEXT, max, false), (MORE, 1, true)]),
            (2 * max, vec![(TEXT, max, false), (MORE, max, true)]),
            (
                2 * max + 1,
                vec![(TEXT, max, false), (MORE, max, false), (MORE, 1, true)],
            ),
        ];
        for (bytes, expected) in cases {
            let frames = fragments("x".repeat(bytes));
            let cut = frames.map(|frame| {
                let header = frame.header();
                (header.opcode, frame.payload().len(), header.is_final)
            });
            assert_eq!(cut.collect::<Vec<_>>(), expected, "{bytes} bytes");
        }
    }

    #[test]
    fn a_character_may_be_cut_and_nothing_is_lost() {
        let text = format!("x{}", "é".repeat(FRAGMENT_BYTES));
        let payloads: Vec<_> = fragments(text.clone()).map(Frame::into_payload).collect();
        assert!(std::str::from_utf8(&payloads[0]).is_err(), "it is cut");
        let whole: Vec<u8> = payloads.iter().flatten().copied().collect();
        assert_eq!(whole, text.as_bytes());
    }
}
