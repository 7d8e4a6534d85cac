//! The wallet from outside: whole lives of several wallets on a chain that is played in memory, and
//! what a wallet says to blocks that no honest node sends.

mod forged;
mod golden;
mod payments;
mod random;
mod real;
mod world;
