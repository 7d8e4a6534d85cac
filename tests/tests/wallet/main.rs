//! `adnet wallet` as a person uses it: the real binary, a real node, real proofs.

mod late;
mod mistakes;
mod newcomer;
mod person;
mod proxy;
mod troubles;
