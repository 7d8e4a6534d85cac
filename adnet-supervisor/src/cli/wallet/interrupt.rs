//! Ctrl-C while the wallet scans: what is scanned is kept. A second one, or one at any other time,
//! ends the process at once, as without us.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use super::EXIT_INTERRUPTED;

/// Someone asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted; what is scanned is kept, and the next command goes on from there")]
pub(super) struct Interrupted;

/// What the signal handlers of this process share with whoever looks.
#[derive(Clone)]
struct Flags {
    asked: Arc<AtomicBool>,
    /// A signal then ends the process.
    nobody_looks: Arc<AtomicBool>,
}

static FLAGS: OnceLock<Flags> = OnceLock::new();

/// SIGINT and SIGTERM are only noted until this is dropped.
pub(super) struct Interrupt(Flags);

impl Interrupt {
    pub fn watch() -> io::Result<Self> {
        let flags = match FLAGS.get() {
            Some(flags) => flags.clone(),
            None => {
                let flags = Flags::registered()?;
                FLAGS.get_or_init(|| flags).clone()
            }
        };
        flags.asked.store(false, Ordering::Relaxed);
        flags.nobody_looks.store(false, Ordering::Relaxed);
        Ok(Interrupt(flags))
    }

    /// An error once somebody has asked to stop.
    pub fn check(&self) -> Result<(), Interrupted> {
        match self.0.asked.load(Ordering::Relaxed) {
            true => Err(Interrupted),
            false => Ok(()),
        }
    }
}

impl Flags {
    fn registered() -> io::Result<Self> {
        let flags = Flags {
            asked: Arc::new(AtomicBool::new(false)),
            nobody_looks: Arc::new(AtomicBool::new(false)),
        };
        for signal in [SIGINT, SIGTERM] {
            let (asked, nobody_looks) = (&flags.asked, &flags.nobody_looks);
            // In this order: the second signal finds what the first has set.
            let code = i32::from(EXIT_INTERRUPTED);
            flag::register_conditional_shutdown(signal, code, Arc::clone(nobody_looks))?;
            flag::register(signal, Arc::clone(nobody_looks))?;
            flag::register(signal, Arc::clone(asked))?;
        }
        Ok(flags)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.nobody_looks.store(true, Ordering::Relaxed);
    }
}
