//! iceoryx2: publish and subscribe without lossy overflow; for blocking, with an event beside it.

use std::process::{Child, Command};

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;

use super::{Job, Link, Seen, Wait, depth, word};

/// One end of two services, and of two events.
pub struct Iceoryx {
    publisher: Publisher<ipc::Service, [u64], ()>,
    subscriber: Subscriber<ipc::Service, [u64], ()>,
    notifier: Notifier<ipc::Service>,
    listener: Listener<ipc::Service>,
    words: usize,
    wait: Wait,
    /// Sent since the last notification.
    unnotified: usize,
    node: Node<ipc::Service>,
}

impl Iceoryx {
    fn open(job: &Job, send_on: &str, receive_on: &str) -> Iceoryx {
        set_log_level(LogLevel::Error);
        let node = NodeBuilder::new().create::<ipc::Service>().expect("a node");
        let service = |way: &str| {
            let name = format!("{}/{way}", job.address);
            node.service_builder(&name.as_str().try_into().expect("a name"))
                .publish_subscribe::<[u64]>()
                .max_publishers(1)
                .max_subscribers(1)
                .enable_safe_overflow(false)
                .history_size(0)
                .subscriber_max_buffer_size(depth(job.words))
                .open_or_create()
                .expect("a service")
        };
        let event = |way: &str| {
            let name = format!("{}/{way}-event", job.address);
            node.service_builder(&name.as_str().try_into().expect("a name"))
                .event()
                .open_or_create()
                .expect("an event")
        };
        Iceoryx {
            subscriber: service(receive_on)
                .subscriber_builder()
                .create()
                .expect("a subscriber"),
            listener: event(receive_on)
                .listener_builder()
                .create()
                .expect("a listener"),
            publisher: service(send_on)
                .publisher_builder()
                .initial_max_slice_len(job.words)
                .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
                .create()
                .expect("a publisher"),
            notifier: event(send_on)
                .notifier_builder()
                .create()
                .expect("a notifier"),
            words: job.words,
            wait: job.wait,
            unnotified: 0,
            node,
        }
    }
}

impl Link for Iceoryx {
    const NAME: &'static str = "iceoryx2 0.10";

    fn start(job: &mut Job, mut peer: Command) -> (Iceoryx, Child) {
        let link = Iceoryx::open(job, "there", "back");
        let child = peer.args(job.arguments()).spawn().expect("this binary");
        (link, child)
    }

    fn join(job: &Job) -> Iceoryx {
        Iceoryx::open(job, "back", "there")
    }

    #[inline]
    fn send(&mut self, seed: u64) {
        self.publisher
            .loan_slice_uninit(self.words)
            .expect("a sample")
            .write_from_fn(|i| word(seed, i))
            .send()
            .expect("delivered");
        self.unnotified += 1;
        // A full queue makes the next send wait, so whoever empties it must be awake before.
        if self.unnotified >= depth(self.words) / 2 {
            self.flush();
        }
    }

    #[inline]
    fn flush(&mut self) {
        self.unnotified = 0;
        if self.wait == Wait::Blocking {
            self.notifier.notify().expect("notified");
        }
    }

    #[inline]
    fn recv(&mut self) -> Seen {
        loop {
            if let Some(sample) = self.subscriber.receive().expect("connected") {
                return Seen::in_words(sample.payload());
            }
            match self.wait {
                Wait::Polling => std::hint::spin_loop(),
                Wait::Blocking => {
                    self.listener.blocking_wait(|_| {}).expect("a listener");
                }
            }
        }
    }
}

impl Drop for Iceoryx {
    fn drop(&mut self) {
        // The other process was killed; what it had in /dev/shm is taken away here.
        let _ = self.node.try_cleanup_dead_nodes();
    }
}
