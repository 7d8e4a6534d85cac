//! A network namespace for each node, with a cable to a bridge: what parts nodes here is the kernel,
//! whatever they know of each other.
//!
//! Nodes of one bridge hear each other. A split moves the cables of one side to a second bridge; a
//! disconnected node has its cable pulled. Everything is named after this process, and gone when
//! this is dropped; what a killed process has left is removed by the next one.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// Names of namespaces, bridges and cables begin with this and the process id.
const PREFIX: &str = "adt";

/// The namespaces of one network.
pub struct Namespaces {
    name: String,
    count: usize,
}

impl Namespaces {
    /// Whether this process may make them.
    pub fn are_allowed() -> bool {
        sweep();
        let probe = Self::lay(1);
        probe.is_ok()
    }

    /// Makes `count` of them, all on one bridge.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn lay(count: usize) -> Result<Self, String> {
        static NETWORKS: AtomicU32 = AtomicU32::new(0);
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}n{number}", std::process::id());
        let namespaces = Self { name, count };
        let mut lines: Vec<String> = (0..2)
            .flat_map(|side| {
                let bridge = namespaces.bridge(side);
                [
                    format!("link add {bridge} type bridge"),
                    format!("link set {bridge} up"),
                ]
            })
            .collect();
        for node in 0..count {
            let (space, cable) = (namespaces.of(node), namespaces.cable(node));
            lines.push(format!("netns add {space}"));
            lines.push(format!(
                "link add {cable} type veth peer name eth0 netns {space}"
            ));
            let bridge = namespaces.bridge(0);
            lines.push(format!("link set {cable} master {bridge} up"));
        }
        ip(&[], &lines)?;
        for node in 0..count {
            let lines = [
                format!("addr add {}/24 dev eth0", Self::address(node)),
                "link set eth0 up".to_owned(),
                "link set lo up".to_owned(),
            ];
            ip(&["-n", &namespaces.of(node)], &lines)?;
        }
        Ok(namespaces)
    }

    /// The namespace of a node.
    pub fn of(&self, node: usize) -> String {
        format!("{}s{node}", self.name)
    }

    /// Its address there. Every network has the same ones, as none of them hears another.
    pub fn address(node: usize) -> Ipv4Addr {
        let last = u8::try_from(node + 1).expect("a handful of nodes");
        Ipv4Addr::new(10, 66, 0, last)
    }

    fn bridge(&self, side: usize) -> String {
        format!("{}b{side}", self.name)
    }

    fn cable(&self, node: usize) -> String {
        format!("{}c{node}", self.name)
    }

    /// From now on these nodes and the others do not hear each other.
    pub fn part(&self, side: &BTreeSet<usize>) {
        let place = |node: usize| {
            let bridge = self.bridge(usize::from(side.contains(&node)));
            format!("link set {} master {bridge} up", self.cable(node))
        };
        let lines: Vec<String> = (0..self.count).map(place).collect();
        ip(&[], &lines).expect("the cables are ours");
    }

    /// From now on nobody hears these nodes, nor do they.
    pub fn disconnect(&self, nodes: &BTreeSet<usize>) {
        let pull = |node: &usize| format!("link set {} down", self.cable(*node));
        let lines: Vec<String> = nodes.iter().map(pull).collect();
        ip(&[], &lines).expect("the cables are ours");
    }

    pub fn heal(&self) {
        self.part(&BTreeSet::new());
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Runs lines of `ip` in one process.
fn ip(options: &[&str], lines: &[String]) -> Result<(), String> {
    let mut child = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("ip: {error}"))?;
    let mut text = lines.join("\n");
    text.push('\n');
    let mut input = child.stdin.take().expect("it is piped");
    let written = input.write_all(text.as_bytes());
    drop(input);
    let output = child.wait_with_output().map_err(|e| format!("ip: {e}"))?;
    match (written, output.status.success()) {
        (Ok(()), true) => Ok(()),
        (Err(error), _) => Err(format!("ip: {error}")),
        (Ok(()), false) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The names in a folder of the kernel that begin with `start`.
fn named(folder: &str, start: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(start)).collect()
}

/// Removes the namespaces, cables and bridges whose names begin so. With a namespace its cable goes.
fn remove(start: &str) {
    for space in named("/var/run/netns", start) {
        let _ = ip(&[], &[format!("netns del {space}")]);
    }
    for link in named("/sys/class/net", start) {
        let _ = ip(&[], &[format!("link del {link}")]);
    }
}

/// Removes what processes that are gone have left.
fn sweep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let spaces = named("/var/run/netns", PREFIX);
        let links = named("/sys/class/net", PREFIX);
        for name in spaces.iter().chain(&links) {
            let rest = &name[PREFIX.len()..];
            let Some((pid, _)) = rest.split_once('n') else {
                continue;
            };
            if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
                remove(&format!("{PREFIX}{pid}n"));
            }
        }
    });
}
