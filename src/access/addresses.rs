//! Bounds of one address, so that one client cannot take the server from all others.
//!
//! A connection visits by its peer's address from its opening on; the requests on it ask its visit. Clients on the
//! loopback are not bounded: a proxy or a run on this machine is one address for many. Nothing is answered here.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Addresses that are remembered, those without a connection included. Each takes some 200 bytes, so 13 MB in all.
const ADDRESSES_MAX: usize = 65_536;
/// Addresses from which on those that rest are looked for.
const FIRST_LOOK: usize = 1_024;
/// Time without a connection after which an address has all of its bounds back, so that it can be forgotten: as long as
/// the slowest of them takes, that of creations.
const RESTED: Duration = Duration::from_secs(60);
/// Connections beyond the bound of an address on which a request is answered. More are closed without an answer.
const ANSWERED_BEYOND_MAX: usize = 16;
/// `Retry-After` beyond the bound on connections.
const CONNECTIONS_RETRY: Duration = Duration::from_secs(5);
/// Seconds of requests that an address may send at once: a page of many lanes begins with more than it goes on with.
const BURST_S: u32 = 2;

/// What one address may do. Zero: as much as it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressBounds {
    /// Open connections.
    pub connections_max: usize,
    /// Requests per second.
    pub requests_max: u32,
    /// Deployments that are created per minute.
    pub creations_max: u32,
}

impl AddressBounds {
    /// No bound: for a server whose clients are one address by design.
    pub const NONE: Self = Self { connections_max: 0, requests_max: 0, creations_max: 0 };
}

impl Default for AddressBounds {
    /// A class of forty behind one router is one address. A page of it has at most a dozen connections, and its short
    /// polls and long polls at most 25 requests a second. Each may create a deployment within a minute, and some two.
    fn default() -> Self {
        Self { connections_max: 512, requests_max: 1_000, creations_max: 60 }
    }
}

/// A bound that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this address {what}; try again in {} s", self.retry_s())]
pub struct Bounded {
    what: Excess,
    wait: Duration,
}

impl Bounded {
    /// Returns the time after which it is worth trying again, in whole seconds from 1.
    pub(crate) fn retry_s(&self) -> u64 {
        self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0 || self.wait.is_zero())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Excess {
    Connections(usize),
    Requests(u32),
    Creations(u32),
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections(max) => {
                write!(f, "has as many connections as one may have, {max} (--address-connections-max)")
            }
            Self::Requests(max) => {
                write!(f, "sends more than {max} requests per second (--address-requests-max)")
            }
            Self::Creations(max) => {
                write!(f, "creates more than {max} deployments per minute (--address-creations-max)")
            }
        }
    }
}

/// The addresses that a server has seen lately.
#[derive(Debug)]
pub(crate) struct Addresses {
    bounds: AddressBounds,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    addresses: HashMap<IpAddr, Arc<Address>>,
    /// Number of addresses at which the next look for those that rest is worth its time.
    look_at: usize,
}

/// One address: an IPv4 address, or an IPv6 network of 64 bits, which one subscriber has.
#[derive(Debug)]
struct Address {
    bounds: AddressBounds,
    connections: AtomicUsize,
    /// When the last connection left.
    left: Mutex<Instant>,
    requests: Option<DefaultDirectRateLimiter>,
    creations: Option<DefaultDirectRateLimiter>,
}

/// One connection of an address; dropping it ends the visit.
#[derive(Debug)]
pub(crate) struct Visit {
    /// `None`: this one is not bounded.
    address: Option<Arc<Address>>,
    standing: Standing,
}

/// How a connection stands to the bound of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Within the bound.
    Within,
    /// Beyond it: its requests are refused.
    Beyond,
    /// So far beyond that nothing is answered.
    FarBeyond,
}

impl Addresses {
    pub(crate) fn new(bounds: AddressBounds) -> Self {
        let known = Known { addresses: HashMap::new(), look_at: FIRST_LOOK };
        Self { bounds, known: Mutex::new(known) }
    }

    /// Notes a connection from `peer` that opens at `now`. One whose peer is not known is not bounded: it is gone.
    pub(crate) fn visit(&self, peer: Option<IpAddr>, now: Instant) -> Visit {
        let key = match peer.and_then(bounded) {
            Some(key) if self.bounds != AddressBounds::NONE => key,
            Some(_) | None => return Visit { address: None, standing: Standing::Within },
        };
        let address = self.known.lock().expect("no holder panics").address(key, self.bounds, now);
        let connections = address.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let standing = match self.bounds.connections_max {
            0 => Standing::Within,
            max if connections <= max => Standing::Within,
            max if connections <= max + ANSWERED_BEYOND_MAX => Standing::Beyond,
            _ => Standing::FarBeyond,
        };
        Visit { address: Some(address), standing }
    }
}

impl Known {
    fn address(&mut self, key: IpAddr, bounds: AddressBounds, now: Instant) -> Arc<Address> {
        if let Some(known) = self.addresses.get(&key) {
            return known.clone();
        }
        if self.addresses.len() >= self.look_at {
            self.addresses.retain(|_, address| !address.rests(now, RESTED));
            if self.addresses.len() >= ADDRESSES_MAX {
                // Those without a connection go; open connections have a bound of their own. Their holders may send a
                // burst anew, which is less than a table without end.
                self.addresses.retain(|_, address| !address.rests(now, Duration::ZERO));
            }
            self.look_at = (2 * self.addresses.len()).clamp(FIRST_LOOK, ADDRESSES_MAX);
        }
        let address = Arc::new(Address::new(bounds, now));
        self.addresses.insert(key, address.clone());
        address
    }
}

impl Address {
    fn new(bounds: AddressBounds, now: Instant) -> Self {
        let requests = NonZeroU32::new(bounds.requests_max).map(|max| {
            let burst = max.saturating_mul(NonZeroU32::new(BURST_S).expect("it is above 0"));
            RateLimiter::direct(Quota::per_second(max).allow_burst(burst))
        });
        let creations =
            NonZeroU32::new(bounds.creations_max).map(|max| RateLimiter::direct(Quota::per_minute(max)));
        Self { bounds, connections: AtomicUsize::new(0), left: Mutex::new(now), requests, creations }
    }

    /// Tells whether the address has had no connection for `time`.
    fn rests(&self, now: Instant, time: Duration) -> bool {
        let left = *self.left.lock().expect("no holder panics");
        self.connections.load(Ordering::Relaxed) == 0 && now.saturating_duration_since(left) >= time
    }
}

impl Visit {
    /// Returns how the connection stands to the bound of its address.
    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }

    /// Counts a request, or says which bound it exceeds.
    pub(crate) fn request(&self) -> Result<(), Bounded> {
        let Some(address) = &self.address else { return Ok(()) };
        match self.standing {
            Standing::Within => {}
            Standing::Beyond | Standing::FarBeyond => {
                let what = Excess::Connections(address.bounds.connections_max);
                return Err(Bounded { what, wait: CONNECTIONS_RETRY });
            }
        }
        check(address.requests.as_ref(), Excess::Requests(address.bounds.requests_max))
    }

    /// Counts the creation of a deployment, or says that there are too many.
    pub(crate) fn creation(&self) -> Result<(), Bounded> {
        let Some(address) = &self.address else { return Ok(()) };
        check(address.creations.as_ref(), Excess::Creations(address.bounds.creations_max))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(address) = &self.address {
            *address.left.lock().expect("no holder panics") = Instant::now();
            address.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn check(limiter: Option<&DefaultDirectRateLimiter>, what: Excess) -> Result<(), Bounded> {
    let checked = limiter.map_or(Ok(()), |limiter| limiter.check());
    checked
        .map_err(|not_until| Bounded { what, wait: not_until.wait_time_from(DefaultClock::default().now()) })
}

/// Returns what counts as one address; `None` for the loopback. A home or a phone has a network of 64 bits (RFC 6177).
fn bounded(peer: IpAddr) -> Option<IpAddr> {
    match peer.to_canonical() {
        peer if peer.is_loopback() => None,
        IpAddr::V4(peer) => Some(peer.into()),
        IpAddr::V6(peer) => Some(Ipv6Addr::from_bits(peer.to_bits() & (u128::MAX << 64)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> AddressBounds {
        AddressBounds { connections_max: 2, requests_max: 3, creations_max: 2 }
    }

    fn peer(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_address_cannot_take_the_connections_of_another() {
        let (addresses, now) = (Addresses::new(bounds()), Instant::now());
        let one = peer("192.0.2.1");
        let mut visits: Vec<_> = (0..2).map(|_| addresses.visit(one, now)).collect();
        assert!(visits.iter().all(|visit| visit.standing() == Standing::Within));
        let beyond = addresses.visit(one, now);
        assert_eq!(beyond.standing(), Standing::Beyond);
        let said = beyond.request().unwrap_err();
        assert!(said.to_string().contains("--address-connections-max"), "{said}");
        assert_eq!(addresses.visit(peer("192.0.2.2"), now).standing(), Standing::Within);
        assert_eq!(addresses.visit(peer("::ffff:192.0.2.1"), now).standing(), Standing::Beyond);
        drop(beyond);
        visits.pop();
        assert_eq!(addresses.visit(one, now).standing(), Standing::Within, "a place is free again");
        let many: Vec<_> = (0..40).map(|_| addresses.visit(one, now)).collect();
        let of = |standing| many.iter().filter(|visit| visit.standing() == standing).count();
        assert_eq!((of(Standing::Within), of(Standing::Beyond)), (1, ANSWERED_BEYOND_MAX));
    }

    #[test]
    fn requests_and_creations_have_their_rates_which_all_connections_of_an_address_share() {
        let (addresses, now) = (Addresses::new(bounds()), Instant::now());
        let visits = [(); 2].map(|()| addresses.visit(peer("2001:db8::1"), now));
        let admitted = (0..20).filter(|n| visits[n % 2].request().is_ok()).count();
        assert_eq!(admitted, 6, "two seconds of them");
        let said = visits[0].request().unwrap_err();
        assert_eq!(said.retry_s(), 1);
        assert!(said.to_string().contains("--address-requests-max"), "{said}");
        assert!(visits[0].creation().is_ok() && visits[1].creation().is_ok());
        let said = visits[1].creation().unwrap_err();
        assert!((1..=30).contains(&said.retry_s()), "{said}");
        // The same network of 64 bits, and another one.
        assert!(addresses.visit(peer("2001:db8::2"), now).creation().is_err());
        assert!(addresses.visit(peer("2001:db8:0:1::1"), now).creation().is_ok());
    }

    #[test]
    fn the_loopback_is_not_bounded_and_zero_turns_a_bound_off() {
        let (addresses, now) = (Addresses::new(bounds()), Instant::now());
        for local in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let visits: Vec<_> = (0..10).map(|_| addresses.visit(peer(local), now)).collect();
            assert!(
                visits.iter().all(|visit| visit.request().is_ok() && visit.creation().is_ok()),
                "{local}"
            );
        }
        let off = Addresses::new(AddressBounds { requests_max: 1, ..AddressBounds::NONE });
        let visits: Vec<_> = (0..10).map(|_| off.visit(peer("192.0.2.1"), now)).collect();
        assert!(visits.iter().all(|visit| visit.standing() == Standing::Within && visit.creation().is_ok()));
        assert!(visits[0].request().is_ok() && visits[1].request().is_ok() && visits[2].request().is_err());
    }

    #[test]
    fn the_table_forgets_addresses_that_rest_and_never_grows_beyond_its_bound() {
        let (addresses, now) = (Addresses::new(bounds()), Instant::now());
        let stays = addresses.visit(peer("192.0.2.1"), now);
        let known = |addresses: &Addresses| addresses.known.lock().unwrap().addresses.len();
        for n in 0..(2 * ADDRESSES_MAX as u32) {
            addresses.visit(Some(IpAddr::from(n.to_be_bytes().map(|byte| byte | 0x40))), now);
            addresses.visit(Some(Ipv6Addr::from_bits(u128::from(n) << 64 | 0x20 << 120).into()), now);
            assert!(known(&addresses) <= ADDRESSES_MAX);
        }
        let later = now + 2 * RESTED;
        for n in 0..(2 * ADDRESSES_MAX as u32) {
            addresses.visit(Some(Ipv6Addr::from_bits(u128::from(n) << 64 | 0x30 << 120).into()), later);
        }
        assert!(addresses.known.lock().unwrap().addresses.contains_key(&peer("192.0.2.1").unwrap()));
        assert!(stays.creation().is_ok());
    }
}
