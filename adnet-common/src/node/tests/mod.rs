//! Tests of what a node does whatever its chain: on a chain without transactions.

pub(super) mod bare;
mod changes;
mod evidence;
mod resume;
