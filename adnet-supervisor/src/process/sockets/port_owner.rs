//! Finding out who listens on a port, for one error message. Best effort: without root only one's
//! own processes can be looked into.
//!
//! `/proc/net/tcp` gives the inode of the listening socket (`proc_pid_net(5)`), and a process that
//! holds it has a link to `socket:[inode]` in `/proc/PID/fd`.

use std::fs;
use std::path::Path;

/// State LISTEN in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// Bytes of a socket table that are read at most.
const TABLE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// `PROGRAM (PID n)` of the process that listens on TCP `port`.
pub(super) fn describe(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .filter(|table| table.len() <= TABLE_BYTES_MAX)
        .find_map(|table| {
            table
                .lines()
                .skip(1)
                .find_map(|line| listening_inode(line, port))
        })?;
    let link = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        holds(&process.path().join("fd"), &link).then(|| {
            let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            format!("{} (PID {pid})", program.trim())
        })
    })
}

fn holds(descriptors: &Path, link: &str) -> bool {
    fs::read_dir(descriptors).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == link))
    })
}

/// The inode of the socket in this line of the table, if it listens on `port`.
fn listening_inode(line: &str, port: u16) -> Option<u64> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_, port_hex) = fields.get(1)?.rsplit_once(':')?;
    let is_listening = *fields.get(3)? == LISTEN;
    let is_the_port = u16::from_str_radix(port_hex, 16) == Ok(port);
    if is_listening && is_the_port {
        fields.get(9)?.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listening_socket_of_the_port_is_found() {
        let line = "   0: 0100007F:0BD6 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                    0 0 22222 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listening_inode(line, 3030), Some(22222));
        assert_eq!(listening_inode(line, 3031), None);
        assert_eq!(listening_inode(&line.replace(" 0A ", " 01 "), 3030), None);
        assert_eq!(listening_inode("sl local_address", 3030), None);
        assert_eq!(listening_inode("", 3030), None);
    }
}
