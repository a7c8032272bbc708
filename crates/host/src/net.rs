//! Network interfaces.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const CLASS: &str = "/sys/class/net";

/// `IFF_UP` of netdevice(7).
const UP: u32 = 1;

/// One interface of this network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub name: String,
    /// Six bytes in hexadecimal with colons; none for what has no hardware address.
    pub mac: Option<String>,
    pub mtu: u32,
    /// Switched on by the administrator, whether or not there is a carrier.
    pub up: bool,
}

/// Whether there is a bridge of this name.
pub fn is_bridge(name: &str) -> bool {
    directory(name).is_some_and(|interface| interface.join("bridge").is_dir())
}

/// All interfaces, by name. One that vanishes while it is read is left out.
pub fn interfaces() -> Vec<Interface> {
    let Ok(entries) = fs::read_dir(CLASS) else { return Vec::new() };
    let mut interfaces: Vec<_> =
        entries.flatten().filter_map(|entry| read(entry.file_name().to_str()?)).collect();
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    interfaces
}

/// The IP addresses of this network namespace, by interface; those that are only good on one link are left out.
pub fn addresses() -> Vec<IpAddr> {
    let Ok(listed) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let addresses = listed.filter_map(|interface| {
        let address = interface.address?;
        match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
            (None, Some(v6)) => Some(IpAddr::V6(v6.ip())),
            (None, None) => None,
        }
    });
    let local = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let mut addresses: Vec<IpAddr> = addresses.filter(|address| !local(address)).collect();
    addresses.dedup();
    addresses
}

fn read(name: &str) -> Option<Interface> {
    let interface = directory(name)?;
    let flags = attribute(&interface, "flags")?;
    let mac = attribute(&interface, "address").filter(|mac| !mac.is_empty() && mac != "00:00:00:00:00:00");
    Some(Interface {
        name: name.to_owned(),
        mac,
        mtu: attribute(&interface, "mtu")?.parse().ok()?,
        up: u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()? & UP != 0,
    })
}

fn attribute(interface: &Path, name: &str) -> Option<String> {
    Some(fs::read_to_string(interface.join(name)).ok()?.trim_end().to_owned())
}

/// None for a name that cannot be one of an interface, and would lead elsewhere.
fn directory(name: &str) -> Option<PathBuf> {
    let possible = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
    possible.then(|| Path::new(CLASS).join(name))
}
