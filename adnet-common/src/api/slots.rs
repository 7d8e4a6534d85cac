//! Bounded slots for work that costs processor time, such as verifying signatures.
//!
//! As many run as the machine has threads for, twice as many wait, and who comes then is told so at
//! once instead of piling up.

use std::future::Future;
use std::sync::Arc;
use tokio::sync::Semaphore;

use super::envelope::ApiError;

/// Cheap to clone; all clones share the slots.
#[derive(Clone)]
pub struct Slots {
    /// Whoever runs or waits.
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
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

    /// Runs `work` in a slot.
    ///
    /// # Errors
    /// `OVERLOADED` if all slots and all places to wait are taken.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, ApiError> {
        let busy = |_| ApiError::new("OVERLOADED", "the node is busy: send it again in a moment");
        let _admitted = self.admitted.try_acquire().map_err(busy)?;
        let _running = self
            .running
            .acquire()
            .await
            .expect("the semaphore is never closed");
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
}
