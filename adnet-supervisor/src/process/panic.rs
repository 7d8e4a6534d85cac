//! A panic in any thread ends the process: a broken invariant is not limped on with. Whoever watches
//! it (a worker's supervisor, the supervisor's systemd) starts it again from what is durable.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

/// From now on a panic is logged through `tracing` and aborts the process (SIGABRT), before any
/// unwinding. Call it first thing in a process.
pub fn abort_on_panic(role: &'static str) {
    static PANICKING: AtomicBool = AtomicBool::new(false);
    panic::set_hook(Box::new(move |panic| {
        // A panic while this one is being logged, here or in another thread: there is nobody left
        // to log to.
        if !PANICKING.swap(true, Ordering::SeqCst) {
            let thread = std::thread::current();
            let message = panic.payload_as_str().unwrap_or("(no message)");
            let location = panic.location().map(ToString::to_string);
            // Only with RUST_BACKTRACE; in the sandbox it holds addresses without symbols.
            let backtrace = Backtrace::capture();
            let is_captured = backtrace.status() == BacktraceStatus::Captured;
            tracing::error!(
                role,
                thread = thread.name().unwrap_or("unnamed"),
                location = location.as_deref().unwrap_or("unknown"),
                backtrace = is_captured.then(|| tracing::field::display(backtrace)),
                "panic, this process ends: {message}"
            );
        }
        std::process::abort();
    }));
}
