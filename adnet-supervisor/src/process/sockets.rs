//! The listening sockets of the node. They live in the supervisor and are inherited by each
//! incarnation of a worker, so a connection that arrives while a worker restarts waits in the
//! backlog and is not refused.
//!
//! A socket is either bound here or passed by systemd (socket activation, `sd_listen_fds(3)`), where
//! it is known by its `FileDescriptorName`. A passed socket wins over the configured address.
//!
//! Invariant: every socket that leaves this module is a listening TCP socket, non-blocking and
//! close-on-exec.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::inherit::{self, InheritError};

mod port_owner;

/// Names under which systemd may pass sockets; `systemd/adnet.socket` uses the same.
pub const ALPHA_API: &str = "alpha-api";
/// See [`ALPHA_API`].
pub const DELTA_API: &str = "delta-api";
/// See [`ALPHA_API`].
pub const METRICS: &str = "metrics";

const NAMES: [&str; 3] = [ALPHA_API, DELTA_API, METRICS];

/// Connections that may wait while a worker restarts. The kernel caps it at
/// `net.core.somaxconn` (4,096 by default).
pub const BACKLOG: i32 = 4_096;

/// Why there is no listening socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody else listens there.
    #[error(
        "{key}: cannot listen on {address}: the port is already in use{owner}. Stop that process, \
         or set {key} to another address"
    )]
    InUse {
        /// The configuration key of the address.
        key: String,
        /// The address.
        address: SocketAddr,
        /// ` by PROGRAM (PID n)` where it can be found out, else empty.
        owner: String,
    },
    /// A port below 1024 without the right to it.
    #[error(
        "{key}: cannot listen on {address}: ports below 1024 need CAP_NET_BIND_SERVICE. Choose \
         a higher port, or let systemd open it (adnet.socket)"
    )]
    Privileged {
        /// The configuration key of the address.
        key: String,
        /// The address.
        address: SocketAddr,
    },
    /// No interface of this machine has the address.
    #[error(
        "{key}: cannot listen on {address}: no interface of this machine has that address. Set \
         {key} to one that it has, or to 0.0.0.0 or [::] for all"
    )]
    NotOurs {
        /// The configuration key of the address.
        key: String,
        /// The address.
        address: SocketAddr,
    },
    /// Anything else the kernel may say.
    #[error("{key}: cannot listen on {address}: {source}")]
    Os {
        /// The configuration key of the address.
        key: String,
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The environment that describes passed sockets is malformed.
    #[error("systemd's description of the sockets it passes cannot be read: {0}")]
    Environment(io::Error),
    /// A passed socket has a name that nothing here listens for.
    #[error(
        "systemd passed a socket named \"{0}\"; FileDescriptorName must be one of alpha-api, \
         delta-api, metrics, each once"
    )]
    Name(String),
    /// A passed socket is not a listening stream socket.
    #[error("the socket that systemd passed as \"{name}\" is no listening TCP socket")]
    NotListening {
        /// Its name.
        name: String,
    },
    /// A passed socket could not be taken over.
    #[error("the socket that systemd passed as \"{name}\": {source}")]
    Inherit {
        /// Its name.
        name: String,
        /// Why.
        source: InheritError,
    },
    /// A passed socket could not be prepared.
    #[error("the socket that systemd passed as \"{name}\" cannot be prepared: {source}")]
    Passed {
        /// Its name.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// How long a port may still be held by what is left of a node that was killed: each thread of its
/// workers has to run once more to die, and only the last one gives the descriptors back.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// Binds and listens on `address`. `key` is the configuration key it came from, for the messages.
pub fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, SocketError> {
    let deadline = Instant::now() + RELEASE_PATIENCE;
    let mut listening = listen(address);
    while listening.as_ref().err() == Some(&Errno::ADDRINUSE) && Instant::now() < deadline {
        thread::sleep(RELEASE_POLL);
        listening = listen(address);
    }
    listening.map(TcpListener::from).map_err(|errno| {
        let key = key.to_owned();
        match errno {
            Errno::ADDRINUSE => {
                let owner = port_owner::describe(address.port())
                    .map(|owner| format!(" by {owner}"))
                    .unwrap_or_default();
                SocketError::InUse {
                    key,
                    address,
                    owner,
                }
            }
            Errno::ACCESS => SocketError::Privileged { key, address },
            Errno::ADDRNOTAVAIL => SocketError::NotOurs { key, address },
            errno => SocketError::Os {
                key,
                address,
                source: errno.into(),
            },
        }
    })
}

fn listen(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    // A restart must not wait for old connections in TIME_WAIT.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// The sockets that systemd passed, by name.
#[derive(Debug, Default)]
pub struct PassedSockets {
    by_name: BTreeMap<String, TcpListener>,
}

impl PassedSockets {
    /// Takes over the sockets that `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` describe; none
    /// outside systemd. Call it once, before descriptors are opened that could be confused.
    pub fn from_env() -> Result<PassedSockets, SocketError> {
        let announced = sd_notify::listen_fds_with_names().map_err(SocketError::Environment)?;
        let mut by_name = BTreeMap::new();
        for (fd, name) in announced {
            if !NAMES.contains(&name.as_str()) || by_name.contains_key(&name) {
                return Err(SocketError::Name(name));
            }
            let socket = inherit::adopt(fd).map_err(|source| SocketError::Inherit {
                name: name.clone(),
                source,
            })?;
            let listener = TcpListener::from(check_listening(socket, &name)?);
            listener
                .set_nonblocking(true)
                .map_err(|source| SocketError::Passed {
                    name: name.clone(),
                    source,
                })?;
            by_name.insert(name, listener);
        }
        Ok(PassedSockets { by_name })
    }

    /// The socket called `name`, if it was passed and not yet taken.
    pub fn take(&mut self, name: &str) -> Option<TcpListener> {
        self.by_name.remove(name)
    }

    /// The passed socket called `name`, or else a new one on the configured `address`.
    pub fn take_or_bind(
        &mut self,
        name: &str,
        key: &str,
        address: SocketAddr,
    ) -> Result<TcpListener, SocketError> {
        match self.take(name) {
            Some(listener) => Ok(listener),
            None => bind(key, address),
        }
    }
}

fn check_listening(socket: OwnedFd, name: &str) -> Result<OwnedFd, SocketError> {
    let is_tcp = matches!(
        sockopt::socket_domain(&socket),
        Ok(AddressFamily::INET | AddressFamily::INET6)
    ) && sockopt::socket_type(&socket) == Ok(SocketType::STREAM);
    if is_tcp && sockopt::socket_acceptconn(&socket) == Ok(true) {
        Ok(socket)
    } else {
        Err(SocketError::NotListening {
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn a_bound_socket_queues_connections_without_anybody_accepting() {
        let listener = bind("alpha.api.listen", loopback(0)).unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..10)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        assert_eq!(clients.len(), 10);
        (0..10).for_each(|_| drop(listener.accept().unwrap()));
        let empty = listener.accept().unwrap_err();
        assert_eq!(
            empty.kind(),
            io::ErrorKind::WouldBlock,
            "it is non-blocking"
        );
    }

    #[test]
    fn a_port_in_use_names_the_key_the_owner_and_the_way_out() {
        let listener = bind("alpha.api.listen", loopback(0)).unwrap();
        let address = listener.local_addr().unwrap();
        let message = bind("delta.api.listen", address).unwrap_err().to_string();
        let pid = format!("(PID {})", std::process::id());
        for part in [
            "delta.api.listen: ",
            &address.to_string(),
            "in use by ",
            &pid,
            "Stop that",
        ] {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }

    #[test]
    fn a_port_that_a_dying_process_still_holds_is_waited_for() {
        let listener = bind("alpha.api.listen", loopback(0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(RELEASE_POLL);
                drop(listener);
            });
            let again = bind("alpha.api.listen", address).expect("it is free in time");
            assert_eq!(again.local_addr().unwrap(), address);
        });
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_its_key() {
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
        let error = bind("metrics.listen", elsewhere).unwrap_err();
        assert!(matches!(error, SocketError::NotOurs { .. }), "{error}");
        assert!(error.to_string().starts_with("metrics.listen: "));
    }
}
