//! The mover: one thread that takes packets out of two TUN devices and puts each into the other one at its time.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use super::counts::{LinkCounts, WayCounts};
use super::passage::{Fate, Passage};
use crate::os;

/// Bytes of the buffer for one packet: the largest that IP has. Those of our devices are smaller.
const PACKET_BYTES_MAX: usize = 65_535;
/// Packets that are taken from one device before packets that have become due are looked after.
const PACKETS_AT_ONCE: usize = 64;

/// What poll(2) tells of a device that was removed: it brings and takes nothing any more.
const FAILED: PollFlags = PollFlags::POLLERR.union(PollFlags::POLLNVAL).union(PollFlags::POLLHUP);

/// Two devices and the passages between them.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) subscribers: File,
    pub(super) server: File,
    pub(super) up: Passage,
    pub(super) down: Passage,
}

/// The thread. It ends, and closes both devices, when this value is dropped.
#[derive(Debug)]
pub(super) struct Mover {
    counts: Arc<Mutex<LinkCounts>>,
    /// Number of the thread; 0 until it runs.
    tid: Arc<AtomicI32>,
    /// Closed to end the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    /// Starts to move packets. Times of the passages count from now.
    pub(super) fn start(ends: Ends) -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        let counts = Arc::new(Mutex::new(LinkCounts::default()));
        let tid = Arc::new(AtomicI32::new(0));
        let (shared, own) = (counts.clone(), tid.clone());
        let work = move || {
            own.store(nix::unistd::gettid().as_raw(), Ordering::Relaxed);
            os::fine_timers();
            ends.work(&stopped, &shared);
        };
        let thread = thread::Builder::new().name("link".to_owned()).spawn(work)?;
        Ok(Self { counts, tid, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns what has been moved so far.
    pub(super) fn counts(&self) -> LinkCounts {
        let cpu = os::thread_cpu(self.tid.load(Ordering::Relaxed));
        LinkCounts { cpu, ..*self.counts.lock().expect("no holder panics") }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been told by its own message.
            let _ = thread.join();
        }
    }
}

impl Ends {
    fn work(mut self, stopped: &PipeReader, counts: &Mutex<LinkCounts>) {
        let start = Instant::now();
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        loop {
            {
                let mut counts = counts.lock().expect("no holder panics");
                deliver(&mut self.up, &mut self.server, start, &mut counts.up);
                deliver(&mut self.down, &mut self.subscribers, start, &mut counts.down);
            }
            let next = [self.up.next_due(), self.down.next_due()].into_iter().flatten().min();
            let left = next.map(|due| due.saturating_sub(start.elapsed()));
            let mut ends = [readable(&self.subscribers), readable(&self.server), readable(stopped)];
            match ppoll(&mut ends, left.map(Into::into), None) {
                Ok(_) | Err(Errno::EINTR) => {}
                // The descriptors are open and few.
                Err(_) => return counts.lock().expect("no holder panics").has_failed = true,
            }
            let [from_subscribers, from_server, stopped] =
                ends.map(|end| end.revents().unwrap_or(PollFlags::empty()));
            if !stopped.is_empty() {
                return;
            }
            let mut counts = counts.lock().expect("no holder panics");
            if (from_subscribers | from_server).intersects(FAILED) {
                // It would be told again at once, for ever.
                counts.has_failed = true;
                return;
            }
            if !from_subscribers.is_empty() {
                take(&mut self.subscribers, &mut self.up, &mut buffer, start, &mut counts.up);
            }
            if !from_server.is_empty() {
                take(&mut self.server, &mut self.down, &mut buffer, start, &mut counts.down);
            }
        }
    }
}

fn readable(end: &impl AsFd) -> PollFd<'_> {
    PollFd::new(end.as_fd(), PollFlags::POLLIN)
}

/// Takes the packets that wait in a device into a passage.
fn take(from: &mut File, passage: &mut Passage, buffer: &mut [u8], start: Instant, counts: &mut WayCounts) {
    for _ in 0..PACKETS_AT_ONCE {
        // An error means that nothing waits, or that the device is switched off.
        let Ok(bytes) = from.read(buffer) else { return };
        counts.taken.add(bytes);
        match passage.take(buffer[..bytes].to_vec(), start.elapsed()) {
            Fate::Passes => {}
            Fate::Lost => counts.lost.add(bytes),
            Fate::QueueFull => counts.queue_full.add(bytes),
            Fate::TooMuchOnTheWay => counts.unplanned.add(bytes),
        }
    }
}

/// Puts the packets that have arrived into a device.
fn deliver(passage: &mut Passage, to: &mut File, start: Instant, counts: &mut WayCounts) {
    while let Some(due) = passage.next_due() {
        let now = start.elapsed();
        let Some(packet) = passage.arrived(now) else { return };
        counts.late_max = counts.late_max.max(now - due);
        // A packet is written whole or not at all.
        match to.write_all(&packet) {
            Ok(()) => counts.delivered.add(packet.len()),
            // The kernel has no memory for it, or the device is switched off.
            Err(_) => counts.unplanned.add(packet.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use super::*;
    use crate::link::OneWay;

    #[test]
    fn a_device_that_fails_ends_the_thread_and_is_told() {
        // The kernel says of a pipe without a reader what it says of a device that was removed.
        let (reader, failing) = io::pipe().unwrap();
        drop(reader);
        let (quiet, _open) = io::pipe().unwrap();
        let passage = || Passage::new(OneWay::default(), None, OneWay::default().draws(0, 0));
        let mut mover = Mover::start(Ends {
            subscribers: File::from(OwnedFd::from(failing)),
            server: File::from(OwnedFd::from(quiet)),
            up: passage(),
            down: passage(),
        })
        .unwrap();
        let give_up = Instant::now() + Duration::from_secs(20);
        while !mover.counts().has_failed {
            assert!(Instant::now() < give_up, "the thread goes on");
            thread::sleep(Duration::from_millis(1));
        }
        mover.thread.take().unwrap().join().unwrap();
    }
}
