//! What the benchmarks of adnet share: the table of results, and the links that the ring is
//! compared with.

pub mod link;
pub mod report;
