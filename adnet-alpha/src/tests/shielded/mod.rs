//! The shielded pool in blocks: with real proofs where proofs matter, without them where only the
//! state does.

mod flow;
mod forged;
mod model;
mod prover;
mod refusals;
