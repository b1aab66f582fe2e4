//! Kernel memory: what sockets take and no process shows.
//!
//! The run reads it before the first subscriber connects and again while all are connected. Both ends of a connection
//! are on this machine, so both are counted. What cannot be read is `None`.

use std::fs;

use serde::{Deserialize, Serialize};

/// Slabs of a TCP socket: the socket itself, by address family, and its inode. The kernel merges none of these slabs
/// with others: the first two are typesafe by RCU and the last has a constructor.
const SLABS: [&str; 3] = ["TCP", "TCPv6", "sock_inode_cache"];

/// Kernel memory of sockets, at an instant or between two. A negative value means less than before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelMemory {
    /// Memory of the slabs `TCP`, `TCPv6` and `sock_inode_cache`: objects in use times their size, about 3 kB a
    /// socket. The kernel counts a slab that a CPU allocates from as all in use, so some dozens of sockets may show
    /// nothing. Only root may read it. The growth of all slabs (`SUnreclaim`) is readable by everyone, but includes
    /// everyone's files.
    pub slab_bytes: Option<i64>,
    /// Memory of the buffers of all TCP sockets (`mem` in `/proc/net/sockstat`), in whole pages.
    pub socket_bytes: Option<i64>,
}

impl KernelMemory {
    /// Reads the kernel's memory of sockets now.
    pub fn take() -> Self {
        let read = |path| fs::read_to_string(path).ok();
        Self {
            slab_bytes: read("/proc/slabinfo").as_deref().and_then(slab_bytes),
            socket_bytes: read("/proc/net/sockstat")
                .as_deref()
                .and_then(socket_pages)
                .zip(page_bytes())
                .map(|(pages, bytes)| pages * bytes),
        }
    }

    /// Returns the memory that has been added since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let between = |now: Option<i64>, then: Option<i64>| now.zip(then).map(|(now, then)| now - then);
        Self {
            slab_bytes: between(self.slab_bytes, earlier.slab_bytes),
            socket_bytes: between(self.socket_bytes, earlier.socket_bytes),
        }
    }
}

fn page_bytes() -> Option<i64> {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten()
}

/// Returns objects in use × object size, over the slabs that exist. `None` if none does.
fn slab_bytes(slabinfo: &str) -> Option<i64> {
    let sizes = slabinfo.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        if !SLABS.contains(&name) {
            return None;
        }
        let active: i64 = words.next()?.parse().ok()?;
        let object_bytes: i64 = words.nth(1)?.parse().ok()?;
        Some(active * object_bytes)
    });
    sizes.reduce(|sum, bytes| sum + bytes)
}

/// Returns the number behind `mem` in the line of TCP.
fn socket_pages(sockstat: &str) -> Option<i64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace().skip_while(|word| *word != "mem");
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLABINFO: &str = "\
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit>
tw_sock_TCPv6          9      9    256   16    1 : tunables    0    0    0 : slabdata      0      0      0
TCPv6                 26     39   2496   13    8 : tunables    0    0    0 : slabdata      2      2      0
TCP                   10     13   2304   13    8 : tunables    0    0    0 : slabdata      1      1      0
sock_inode_cache     100    120    832   39    8 : tunables    0    0    0 : slabdata      5      5      0
";

    #[test]
    fn the_files_of_the_kernel_are_read_as_it_writes_them() {
        assert_eq!(slab_bytes(SLABINFO), Some(26 * 2_496 + 10 * 2_304 + 100 * 832));
        assert_eq!(slab_bytes("slabinfo - version: 2.1\n"), None);
        let sockstat = "sockets: used 14\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 7\nUDP: inuse 0 mem 3\n";
        assert_eq!(socket_pages(sockstat), Some(7));
        assert_eq!(socket_pages("UDP: inuse 0 mem 3\n"), None);
    }

    #[test]
    fn memory_is_a_difference_that_may_be_negative_and_is_unknown_where_either_is() {
        let now = KernelMemory { slab_bytes: Some(10), socket_bytes: Some(5) };
        let then = KernelMemory { slab_bytes: Some(12), socket_bytes: None };
        assert_eq!(now.since(&then), KernelMemory { slab_bytes: Some(-2), socket_bytes: None });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_kernel_tells_of_its_socket_buffers() {
        assert!(KernelMemory::take().socket_bytes.is_some());
    }
}
