//! What the benchmarks of adnet share: the table of results, the links that the ring is compared
//! with, an attestation's way between two processes, networks on loopback, private transfers, and quantiles from
//! the metrics page.

pub mod attestation;
pub mod costly;
pub mod delta;
pub mod http_load;
pub mod link;
pub mod mesh;
pub mod prometheus_histogram;
pub mod report;
pub mod transfers;
