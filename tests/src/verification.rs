//! What a worker does with its verifier, without its thread: for nodes that are stepped by hand.

use adnet_common::application::{Application, Until};
use adnet_common::node::{Input, VerifyJob};
use std::sync::Arc;

/// The answer to a job: results up to the first that is not valid.
pub fn verified<A: Application>(rules: &A::Rules, job: &VerifyJob) -> Input<A> {
    let raws: Vec<&[u8]> = job.txs.iter().map(Vec::as_slice).collect();
    let verdicts = A::verify_all(rules, &raws, Until::FirstInvalid).into_iter();
    let checked = verdicts.map(|verdict| verdict.map(Arc::new)).collect();
    let job = job.id;
    Input::Verified { job, checked }
}
