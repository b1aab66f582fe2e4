//! Network namespaces: each has interfaces, addresses and ports of its own, and a thread that lives in it.
//!
//! A socket belongs to the namespace of the thread that makes it, and a process to that of the thread that starts it.
//! So the thread makes sockets and starts processes for others. The namespace has no name: the kernel removes it when
//! the thread and all that it made are gone, however this process ends.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use tokio::net::TcpSocket;

use crate::os;
use crate::route::Sockets;

/// Jobs that wait for the thread. Each caller waits for its own job, so this bounds nothing but the memory: a caller
/// beyond waits a little longer.
const JOBS_MAX: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace of its own, with a loopback and nothing else.
pub(super) struct Namespace {
    jobs: SyncSender<Job>,
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespace").finish_non_exhaustive()
    }
}

impl Namespace {
    /// Makes a namespace; its thread is called `name`.
    pub(super) fn make(name: &str) -> io::Result<Self> {
        let (jobs, asked) = sync_channel(JOBS_MAX);
        let (entered, has_entered) = sync_channel(1);
        thread::Builder::new().name(name.to_owned()).spawn(move || live_in_a_new_one(&entered, &asked))?;
        has_entered.recv().map_err(|_| gone())??;
        Ok(Self { jobs })
    }

    /// Does a job inside the namespace and waits for it. It must be short: others wait behind it.
    pub(super) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (done, is_done) = sync_channel(1);
        let job = Box::new(move || {
            // The caller waits.
            let _ = done.send(job());
        });
        self.jobs.send(job).map_err(|_| gone())?;
        is_done.recv().map_err(|_| gone())
    }
}

impl Sockets for Namespace {
    fn socket(&self, to: SocketAddr) -> io::Result<TcpSocket> {
        self.run(move || if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() })?
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread of the network namespace is gone")
}

/// Leaves the host's namespace for a new one, and does jobs there until there are no more.
fn live_in_a_new_one(entered: &SyncSender<io::Result<()>>, asked: &Receiver<Job>) {
    let made = unshare(CloneFlags::CLONE_NEWNET).map_err(|error| match error {
        nix::errno::Errno::EPERM => {
            let why = "this process may not make network namespaces (CAP_SYS_ADMIN)";
            io::Error::new(io::ErrorKind::PermissionDenied, why)
        }
        other => other.into(),
    });
    // Messages of IPv6 at the start would take part in the draws of the link. Where the file cannot be written they do.
    let quiet = || drop(fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"));
    let made = made.and_then(|()| {
        quiet();
        os::tun::switch_interface_on("lo")
    });
    let is_made = made.is_ok();
    // The caller waits.
    let _ = entered.send(made);
    if is_made {
        asked.iter().for_each(|job| job());
    }
}
