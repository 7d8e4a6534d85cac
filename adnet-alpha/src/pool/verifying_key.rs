//! The key that all proofs of the pool are verified with. It follows from the circuit alone, so it is
//! the same for every network; it takes two seconds of CPU to build and has no form on disk.
//!
//! Invariant: it is built once per process, by threads that nobody else uses. The pool that verifies
//! batches has its threads for the life of the process: were they made here, they would keep the
//! priority of whoever asked for the key first, and a thread of that pool that waited for the key
//! could pick up a batch that waits for the key as well, for ever.

use std::sync::OnceLock;
use std::thread;

use orchard::circuit::{OrchardCircuitVersion, VerifyingKey};

/// The circuit of the pool's proofs.
pub const CIRCUIT: OrchardCircuitVersion = OrchardCircuitVersion::PostNu6_3;

static KEY: OnceLock<VerifyingKey> = OnceLock::new();

/// The key. Whoever asks first builds it, at its own priority; the others wait.
pub fn verifying_key() -> &'static VerifyingKey {
    KEY.get_or_init(|| {
        let built = thread::scope(|scope| scope.spawn(build).join());
        built.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Whether the key is built.
pub fn is_key_ready() -> bool {
    KEY.get().is_some()
}

/// Leaves one core to whatever else this machine is doing, if it has several.
fn build() -> VerifyingKey {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(cores.saturating_sub(1).max(1))
        .thread_name(|_| "verifying-key".to_owned())
        .build();
    match pool {
        Ok(pool) => pool.install(|| VerifyingKey::build(CIRCUIT)),
        Err(error) => panic!("the threads that build the verifying key cannot be started: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads of a common pool ask for the key at once, and none of them waits for itself.
    #[test]
    fn all_who_ask_get_the_one_key() {
        let asked: Vec<usize> = rayon::broadcast(|_| std::ptr::from_ref(verifying_key()).addr());
        assert!(is_key_ready());
        assert!(asked.iter().all(|key| *key == asked[0]));
    }
}
