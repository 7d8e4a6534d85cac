//! Bounded slots for work that costs processor time, such as verifying signatures.
//!
//! As many run as the machine has threads for, twice as many wait, and who comes then is told so at
//! once instead of piling up.

use std::future::Future;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::envelope::ApiError;

/// Cheap to clone; all clones share the slots.
#[derive(Clone)]
pub struct Slots {
    /// Whoever runs or waits.
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// A slot, taken until this is dropped.
pub struct Slot {
    _admitted: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

impl Slots {
    pub fn new(concurrency: usize) -> Self {
        let concurrency = concurrency.clamp(1, 1024);
        Self {
            admitted: Arc::new(Semaphore::new(3 * concurrency)),
            running: Arc::new(Semaphore::new(concurrency)),
        }
    }

    /// As many as the process may run threads at once.
    pub fn for_this_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(2, usize::from))
    }

    /// Waits for a slot. Work that goes on when its future is dropped, as on a thread that may block,
    /// takes the slot with it.
    ///
    /// # Errors
    /// `OVERLOADED` if all slots and all places to wait are taken.
    pub async fn take(&self) -> Result<Slot, ApiError> {
        let busy = |_| ApiError::new("OVERLOADED", "the node is busy: send it again in a moment");
        let admitted = Arc::clone(&self.admitted).try_acquire_owned();
        let admitted = admitted.map_err(busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        Ok(Slot {
            _admitted: admitted,
            _running: running.expect("the semaphore is never closed"),
        })
    }

    /// Runs `work` in a slot, which is free again when `work` ends or is dropped.
    ///
    /// # Errors
    /// As of [`take`](Self::take).
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, ApiError> {
        let _slot = self.take().await?;
        Ok(work.await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn the_fourth_of_one_slot_is_refused_at_once() {
        let slots = Slots::new(1);
        let endless = || slots.run(std::future::pending::<()>());
        let waiting = async { tokio::join!(endless(), endless(), endless()) };
        let fourth = async {
            tokio::task::yield_now().await;
            slots.run(async {}).await
        };
        let refused = tokio::select! {
            biased;
            _ = waiting => unreachable!("nothing ends"),
            refused = fourth => refused.expect_err("no place"),
            () = tokio::time::sleep(Duration::from_secs(5)) => panic!("it waits"),
        };
        assert_eq!(refused.code, "OVERLOADED");
        assert_eq!(
            slots.run(async { 7 }).await,
            Ok(7),
            "dropping the work frees the slots"
        );
    }

    #[tokio::test]
    async fn a_slot_that_goes_with_the_work_is_taken_until_the_work_ends() {
        let slots = Slots::new(1);
        let slot = slots.take().await.expect("free");
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let work = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let _ = ended.recv();
        });
        assert_eq!(slots.running.available_permits(), 0);
        drop(end);
        work.await.expect("it ends");
        assert_eq!(slots.run(async { 7 }).await, Ok(7));
    }
}
