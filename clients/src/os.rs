//! The operating system: limits, timers, CPU clocks, and what TCP did on a connection.
//!
//! The harness asks here for what the standard library does not give. `nix` wraps most calls. TCP_INFO, which no
//! crate wraps completely, and `tun` are the only `unsafe` of the project. What only Linux gives is `None` elsewhere and becomes
//! an empty cell.

#[cfg(target_os = "linux")]
pub(crate) mod tun;

use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
#[cfg(target_os = "linux")]
use nix::unistd::Pid;

/// Largest pid: Linux's PID_MAX_LIMIT. A CPU clock's id keeps only 29 bits of the pid.
#[cfg(target_os = "linux")]
const PID_MAX: u32 = 1 << 22;

/// Returns how many descriptors this process may have open now (the soft limit). `None` if the system does not say.
pub fn max_open_files() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

/// Raises the soft limit of open descriptors to the hard one, for this process and its children. Returns the limit that
/// holds then.
pub fn raise_open_files() -> Option<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    // If refused (macOS caps it below an "unlimited" hard limit), the old limit still holds and is returned.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    max_open_files()
}

/// Lets the calling thread's sleeps end within 1 µs of their time instead of 50 µs. Linux only. Elsewhere, and where it
/// is refused, sleeps stay coarse, and `send_lateness` shows it.
pub fn fine_timers() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_timerslack(1_000);
}

/// Returns the CPU time that the process `pid` has used since it began, all threads, user and system. Linux only.
pub fn process_cpu(pid: u32) -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        // 0 would mean this process, and a number beyond every pid is cut to the pid of another process.
        if !(1..=PID_MAX).contains(&pid) {
            return None;
        }
        let pid = Pid::from_raw(pid as i32);
        clock_gettime(ClockId::pid_cpu_clock_id(pid).ok()?).ok().map(Duration::from)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        None
    }
}

/// Names the monotonic clock that the process `pid` reads: its time namespace, in which that clock may be shifted.
/// Linux 5.6 and newer. `None` elsewhere, for a process that is gone, and without permission to look at it.
pub fn monotonic_clock(pid: u32) -> Option<String> {
    let namespace = std::fs::read_link(format!("/proc/{pid}/ns/time")).ok()?;
    namespace.to_str().map(str::to_owned)
}

/// Returns the CPU time that this process has used since it began.
pub fn own_cpu() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok().map(Duration::from)
}

/// Returns the CPU time that the thread `tid` of this process has used since it began. Linux only.
#[cfg(target_os = "linux")]
pub(crate) fn thread_cpu(tid: i32) -> Option<Duration> {
    if !(1..=PID_MAX as i32).contains(&tid) {
        return None;
    }
    // `include/linux/posix-timers.h`: the number's complement, then two bits for a thread and its scheduled time.
    clock_gettime(ClockId::from_raw((!tid << 3) | 0b110)).ok().map(Duration::from)
}

/// Returns the path by which the program that runs can be started again, even after its file was replaced or deleted.
/// Only Linux has such a path. Elsewhere the path of the file is returned, and a new file there is another program.
pub fn own_program() -> io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && running.exists() {
        return Ok(running.to_owned());
    }
    std::env::current_exe()
}

/// Names the process `name` in lists of processes. Linux only: there a process that was started by [`own_program`]
/// would be called `exe`.
pub fn name_process(name: &std::ffi::CStr) {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_name(name);
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}

/// Names the file system that holds `path`: `xfs`, `tmpfs`, … A Linux file system without a name here is told by its
/// number. `None` if the system does not say.
pub fn file_system(path: &Path) -> Option<String> {
    let found = nix::sys::statfs::statfs(path).ok()?;
    #[cfg(target_os = "linux")]
    {
        // The type's width differs between machines, the number does not.
        let magic = found.filesystem_type().0 as u32;
        let known = FILE_SYSTEMS.iter().find(|(number, _)| *number == magic);
        Some(known.map_or_else(|| format!("0x{magic:x}"), |(_, name)| (*name).to_owned()))
    }
    #[cfg(not(target_os = "linux"))]
    {
        Some(found.filesystem_type_name().to_owned())
    }
}

/// File systems by the number that statfs(2) gives. ext2, ext3 and ext4 share one.
#[cfg(target_os = "linux")]
const FILE_SYSTEMS: [(u32, &str); 15] = [
    (0xef53, "ext2/ext3/ext4"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x794c_7630, "overlay"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x2fc1_2fc1, "zfs"),
    (0xca45_1a4e, "bcachefs"),
    (0xf2f5_2010, "f2fs"),
    (0x6969, "nfs"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x4d44, "vfat"),
];

/// Most readings of a connection until nothing arrives meanwhile: a reading takes a microsecond.
#[cfg(target_os = "linux")]
const TCP_INFO_TRIES_MAX: u32 = 1_000;

/// The kernel's counts of one TCP connection since it was made: `TCP_INFO` of tcp(7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Payload that the application handed over, sent or not: what a wrapper of the socket counts as written.
    pub written_bytes: u64,
    /// Payload that was sent again.
    pub retransmitted_bytes: u64,
    /// Payload of `written_bytes` that has not been sent.
    pub unsent_bytes: u64,
    /// Payload that arrived in order, each byte once, read or not. On a connection that [`Self::is_closed`], the other
    /// side's FIN may be counted as a byte: the kernel no longer knows how it ended.
    pub received_bytes: u64,
    /// Payload of `received_bytes` that was not read yet: what a wrapper of the socket has not counted.
    pub unread_bytes: u64,
    /// Segments sent, pure acknowledgements, SYN and repeated ones included.
    pub segments_out: u64,
    /// Segments received, pure acknowledgements, SYN and repeated ones included.
    pub segments_in: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Whether both sides have ended the connection, or one has reset it.
    pub is_closed: bool,
}

/// Returns what TCP did on the connection `socket` so far. Linux 4.19 and newer; `None` elsewhere, and if `socket` is
/// not a TCP socket.
pub fn tcp_info(socket: RawFd) -> Option<TcpInfo> {
    #[cfg(target_os = "linux")]
    {
        // A reading takes two calls. The second alone counts what arrives in between, so both are then made again.
        let mut unread_bytes = linux::unread_bytes(socket)?;
        for _ in 0..TCP_INFO_TRIES_MAX {
            let info = linux::tcp_info(socket)?;
            let unread_before = std::mem::replace(&mut unread_bytes, linux::unread_bytes(socket)?);
            if unread_bytes == unread_before {
                return TcpInfo::parse(&info, unread_bytes);
            }
        }
        None
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = socket;
        None
    }
}

#[cfg(target_os = "linux")]
impl TcpInfo {
    /// Parses `struct tcp_info` of `linux/tcp.h`, which only ever grows at its end. `None` from a kernel whose struct
    /// ends before the fields that are needed.
    fn parse(info: &[u8], unread_bytes: u64) -> Option<Self> {
        let u32_at = |at: usize| Some(u64::from(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?)));
        let u64_at = |at: usize| Some(u64::from_ne_bytes(info.get(at..at + 8)?.try_into().ok()?));
        let (retransmitted_bytes, unsent_bytes) = (u64_at(208)?, u32_at(144)?);
        // A FIN takes a sequence number, and is counted as a received byte.
        let fin = u64::from(FIN_RECEIVED.contains(info.first()?));
        Some(Self {
            written_bytes: (u64_at(200)? + unsent_bytes).checked_sub(retransmitted_bytes)?,
            retransmitted_bytes,
            unsent_bytes,
            received_bytes: u64_at(128)?.saturating_sub(fin),
            unread_bytes,
            segments_out: u32_at(136)?,
            segments_in: u32_at(140)?,
            retransmits: u32_at(100)?,
            is_closed: *info.first()? == CLOSED,
        })
    }
}

/// States in which the other side's FIN has arrived (`include/net/tcp_states.h`): TIME_WAIT, CLOSE_WAIT, LAST_ACK,
/// CLOSING.
#[cfg(target_os = "linux")]
const FIN_RECEIVED: [u8; 4] = [6, 8, 9, 11];
#[cfg(target_os = "linux")]
const CLOSED: u8 = 7;

/// Calls that no crate wraps. Each passes the kernel a buffer and its length, and reads no more than the kernel says
/// it wrote. An invalid descriptor is refused; a descriptor of another file is only read.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod linux {
    use std::os::fd::RawFd;

    use nix::libc;

    /// Size of the buffer, larger than any kernel's struct (Linux 6.18: 280 bytes). A longer struct is cut to it.
    const TCP_INFO_BYTES_MAX: usize = 512;

    pub(super) fn tcp_info(socket: RawFd) -> Option<Vec<u8>> {
        let mut info = vec![0_u8; TCP_INFO_BYTES_MAX];
        let mut length = TCP_INFO_BYTES_MAX as libc::socklen_t;
        // SAFETY: the buffer has `length` bytes and outlives the call; any bytes are a valid `u8`.
        let failed = unsafe {
            libc::getsockopt(
                socket,
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                std::ptr::from_mut(&mut length),
            )
        };
        info.truncate(length as usize);
        (failed == 0).then_some(info)
    }

    /// Returns how many bytes have arrived and were not read (tcp(7), `SIOCINQ`); a FIN is not counted.
    pub(super) fn unread_bytes(socket: RawFd) -> Option<u64> {
        let mut unread: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int, to which it is given a pointer that outlives the call.
        let failed = unsafe { libc::ioctl(socket, libc::FIONREAD, std::ptr::from_mut(&mut unread)) };
        if failed == 0 { u64::try_from(unread).ok() } else { None }
    }
}

/// Whether this process ignores `signal`, as `nohup` and a shell's background jobs are started. Linux only: elsewhere it
/// is not known and `false`.
pub fn is_ignored(signal: Signal) -> bool {
    let mask = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    mask().is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

/// Returns the exit code that a shell gives: 128 + signal when it was killed.
pub fn exit_code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn info(socket: &TcpStream) -> TcpInfo {
        tcp_info(socket.as_raw_fd()).unwrap()
    }

    /// Reads the connection again and again until `says` holds.
    fn until(socket: &TcpStream, says: impl Fn(TcpInfo) -> bool) -> TcpInfo {
        loop {
            let info = info(socket);
            if says(info) {
                return info;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_file_system_is_told_by_its_name() {
        assert_eq!(file_system(Path::new("/dev/shm")).as_deref(), Some("tmpfs"));
        // The number of procfs has no name here.
        assert_eq!(file_system(Path::new("/proc")).as_deref(), Some("0x9fa0"));
        assert_eq!(file_system(Path::new("/nowhere")), None);
    }

    #[test]
    fn the_kernel_counts_each_byte_of_a_connection_once() {
        let (mut client, mut server) = pair();
        client.write_all(&[7; 1_000]).unwrap();
        server.read_exact(&mut [0; 1_000]).unwrap();
        server.write_all(&[7; 300]).unwrap();
        let unread = until(&client, |info| info.unread_bytes == 300);
        assert_eq!((unread.written_bytes, unread.received_bytes), (1_000, 300));
        assert_eq!(unread.retransmits, 0);
        // SYN, its acknowledgement and data went out, at least; SYN and data came in.
        assert!(unread.segments_out >= 3 && unread.segments_in >= 2, "{unread:?}");
        client.read_exact(&mut [0; 100]).unwrap();
        assert_eq!((info(&client).received_bytes, info(&client).unread_bytes), (300, 200));
    }

    #[test]
    fn the_end_of_a_connection_is_no_byte() {
        let (mut client, mut server) = pair();
        server.write_all(b"good").unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        while client.read(&mut [0; 8]).unwrap() > 0 {}
        assert_eq!((info(&client).received_bytes, info(&client).unread_bytes), (4, 0));
        client.write_all(b"still open").unwrap();
        assert!(!info(&client).is_closed);
        client.shutdown(Shutdown::Write).unwrap();
        let closed = until(&client, |info| info.is_closed);
        assert_eq!((closed.written_bytes, closed.received_bytes), (10, 5), "the end is a byte now");
    }

    #[test]
    fn what_the_other_side_does_not_take_was_written_and_not_sent() {
        let (mut client, _server) = pair();
        client.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(count) = client.write(&[7; 1 << 16]) {
            written += count as u64;
        }
        let info = info(&client);
        assert!(info.unsent_bytes > 0, "{info:?}");
        assert_eq!(info.written_bytes, written, "{info:?}");
    }

    #[test]
    fn what_is_no_tcp_socket_or_an_old_kernel_tells_nothing() {
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        assert_eq!(tcp_info(file.as_raw_fd()), None);
        assert_eq!(tcp_info(-1), None);
        // Linux 4.18 ends before `tcpi_bytes_sent`.
        assert_eq!(TcpInfo::parse(&[0; 200], 0), None);
        assert!(TcpInfo::parse(&[0; 232], 0).is_some());
    }

    /// Keeps the CPU busy for at least `time`.
    fn burn(time: Duration) {
        let before = own_cpu().unwrap();
        while own_cpu().unwrap() - before < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn the_cpu_clock_of_a_process_runs_while_it_works() {
        let before = process_cpu(std::process::id()).unwrap();
        burn(Duration::from_millis(5));
        let used = process_cpu(std::process::id()).unwrap() - before;
        assert!(used >= Duration::from_millis(5), "{used:?}");
    }

    #[test]
    fn a_process_that_does_not_exist_has_no_cpu_clock() {
        for pid in [0, PID_MAX, PID_MAX + 1, 0x3fff_ffff, u32::MAX] {
            assert_eq!(process_cpu(pid), None, "{pid}");
        }
    }

    #[test]
    fn the_clock_of_this_process_has_a_name_and_that_of_none_has_not() {
        let own = monotonic_clock(std::process::id());
        assert!(own.is_none_or(|name| name.starts_with("time:[")));
        assert_eq!(monotonic_clock(PID_MAX + 1), None);
    }

    #[test]
    fn what_is_ignored_is_told_from_what_is_not() {
        // Rust's runtime ignores SIGPIPE, and nothing can ignore SIGKILL.
        assert!(is_ignored(Signal::SIGPIPE));
        assert!(!is_ignored(Signal::SIGKILL));
    }

    #[test]
    fn raising_the_open_files_never_lowers_them() {
        let before = max_open_files().unwrap();
        assert!(raise_open_files().unwrap() >= before);
        assert_eq!(raise_open_files(), max_open_files());
    }
}
