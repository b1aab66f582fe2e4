//! TUN devices and the interfaces of a network namespace: the calls that no crate wraps.
//!
//! For `harness::network::tun`. Each call concerns the network namespace of the calling thread (netdevice(7), and
//! `Documentation/networking/tuntap.rst` of Linux). Reads and writes no packet.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Device that gives TUN devices.
const TUN: &str = "/dev/net/tun";

/// Creates the TUN device `name`. A read returns one IP packet, a write sends one, and neither blocks. The device is
/// gone when the file is closed.
pub(crate) fn tun_device(name: &str) -> io::Result<File> {
    let told = |error: io::Error| io::Error::new(error.kind(), format!("{TUN}: {error}"));
    let options = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(TUN);
    let device = options.map_err(told)?;
    let mut request = Request::about(name);
    // Without a header before each packet.
    request.set_flags(libc::IFF_TUN | libc::IFF_NO_PI);
    request.make(device.as_raw_fd(), libc::TUNSETIFF).map_err(told)?;
    Ok(device)
}

/// Gives the interface `name` an address, and the size of its largest packets.
pub(crate) fn address_interface(
    name: &str,
    address: Ipv4Addr,
    netmask: Ipv4Addr,
    mtu_bytes: u16,
) -> io::Result<()> {
    let socket = any_socket()?;
    let mut request = Request::about(name);
    request.0.ifr_ifru.ifru_mtu = mtu_bytes.into();
    request.make(socket.as_raw_fd(), libc::SIOCSIFMTU as libc::Ioctl)?;
    request.set_address(address);
    request.make(socket.as_raw_fd(), libc::SIOCSIFADDR as libc::Ioctl)?;
    request.set_address(netmask);
    request.make(socket.as_raw_fd(), libc::SIOCSIFNETMASK as libc::Ioctl)
}

/// Switches the interface `name` on.
pub(crate) fn switch_interface_on(name: &str) -> io::Result<()> {
    let socket = any_socket()?;
    let mut request = Request::about(name);
    request.make(socket.as_raw_fd(), libc::SIOCGIFFLAGS as libc::Ioctl)?;
    let flags = request.flags();
    request.set_flags(libc::c_int::from(flags) | libc::IFF_UP);
    request.make(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl)
}

/// Opens a socket, of any kind: requests about interfaces need one.
fn any_socket() -> io::Result<impl AsRawFd> {
    Ok(socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?)
}

/// A request about an interface.
struct Request(libc::ifreq);

impl Request {
    fn about(name: &str) -> Self {
        // SAFETY: `ifreq` consists of integers and of pointers that may be null, for which zeros are valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // A name of 15 bytes at most, so that a zero ends it.
        for (into, byte) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
            *into = byte as libc::c_char;
        }
        Self(request)
    }

    fn set_flags(&mut self, flags: libc::c_int) {
        // All flags of interfaces that can be set fit into 16 bits.
        self.0.ifr_ifru.ifru_flags = flags as libc::c_short;
    }

    fn flags(&self) -> libc::c_short {
        // SAFETY: any bytes are valid flags, and all bytes of the request are initialized.
        unsafe { self.0.ifr_ifru.ifru_flags }
    }

    fn set_address(&mut self, address: Ipv4Addr) {
        let mut data = [0; 14];
        // Behind the port: `struct sockaddr_in`.
        for (into, byte) in data[2..6].iter_mut().zip(address.octets()) {
            *into = byte as libc::c_char;
        }
        self.0.ifr_ifru.ifru_addr =
            libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data };
    }

    fn make(&mut self, on: RawFd, request: libc::Ioctl) -> io::Result<()> {
        // SAFETY: these requests read and write one `ifreq`, to which they are given a pointer that outlives the call.
        let failed = unsafe { libc::ioctl(on, request, std::ptr::from_mut(&mut self.0)) };
        if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
