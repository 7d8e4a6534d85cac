//! Tests of what a node does whatever its chain: on a chain that is simple.

pub(crate) mod bare;
mod changes;
mod evidence;
mod resume;
mod verification;
