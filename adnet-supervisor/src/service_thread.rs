//! A small service of the supervisor: one thread with one single-threaded runtime.
//!
//! Invariant: dropping the handle ends the service and joins its thread.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// A running service.
#[derive(Debug)]
pub struct ServiceThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ServiceThread {
    /// Runs the future that `make` returns, inside a runtime, until it ends or this is dropped.
    ///
    /// # Errors
    /// When the kernel gives no thread or no epoll descriptor, or `make` fails.
    pub(crate) fn spawn<F>(
        name: &str,
        make: impl FnOnce() -> io::Result<F> + Send + 'static,
    ) -> io::Result<ServiceThread>
    where
        F: Future<Output = ()>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, starting) = std::sync::mpsc::sync_channel(1);
        let run = move || {
            runtime.block_on(async move {
                match make() {
                    Err(error) => drop(started.send(Err(error))),
                    Ok(service) => {
                        drop(started.send(Ok(())));
                        tokio::select! {
                            () = service => {}
                            _ = stopped => {}
                        }
                    }
                }
            });
            // Answers of open connections are cut off here; nothing that they say is a promise.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)?;
        let made = starting
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the service panicked")));
        made.map(|()| ServiceThread {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for ServiceThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the service has been reported by its thread already.
            let _ = thread.join();
        }
    }
}
