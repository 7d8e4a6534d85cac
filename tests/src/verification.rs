//! What a worker does with its verifier, without its thread: for nodes that are stepped by hand.

use adnet_common::application::Application;
use adnet_common::node::{Input, VerifyJob};
use std::sync::Arc;

/// The answer to a job: results up to the first that is not valid.
pub fn verified<A: Application>(rules: &A::Rules, job: &VerifyJob) -> Input<A> {
    let raws: Vec<&[u8]> = job.txs.iter().map(Vec::as_slice).collect();
    let mut checked: Vec<_> = A::verify_all(rules, &raws)
        .into_iter()
        .map(|result| result.map(Arc::new))
        .collect();
    if let Some(bad) = checked.iter().position(Result::is_err) {
        checked.truncate(bad + 1);
    }
    let job = job.id;
    Input::Verified { job, checked }
}
