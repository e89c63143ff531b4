//! What can be set of the element as a whole.

use std::net::IpAddr;

/// How requests for the users of our domains are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Forwarded with transaction state (RFC 3261 section 16.2).
    #[default]
    Stateful,
    /// Forwarded without any state (section 16.11).
    Stateless,
    /// Answered with where the user is (section 8.3).
    Redirect,
}

/// For whom requests are forwarded to domains that are not ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relay {
    /// For those who proved that they are users of ours.
    #[default]
    Users,
    /// For nobody.
    Nobody,
    /// For everybody: an open relay, for closed networks only.
    Anybody,
}

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// An address in it.
    pub address: IpAddr,
    /// How many leading bits are the network's.
    pub prefix: u8,
}

impl Network {
    /// Whether an address is in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32u8),
            IpAddr::V6(address) => (address.to_bits(), 128u8),
        };
        let ((ours, width), (theirs, their_width)) = (bits(self.address), bits(address));
        let prefix = u32::from(self.prefix.min(width));
        width == their_width && (prefix == 0 || (ours ^ theirs) >> (128 - prefix) == 0)
    }
}

/// What can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The domains that the element is responsible for, each with or without a port. Its own
    /// addresses and ports always are too.
    pub domains: Vec<String>,
    /// Other names of the first domain.
    pub aliases: Vec<String>,
    /// The addresses of this machine, for listeners that are bound to all of them.
    pub addresses: Vec<IpAddr>,
    /// The realm of all challenges; without one each domain is its own.
    pub realm: Option<String>,
    /// Whether a request that claims to come from one of our domains must prove it (RFC 3261
    /// section 22.3).
    pub authenticate: bool,
    /// Whether a REGISTER must prove whose it is (section 10.3 step 3).
    pub authenticate_register: bool,
    /// Whether only users that exist may be registered, where there are any (section 10.3 step 5).
    pub known_users_only: bool,
    /// Networks whose requests are believed without proof.
    pub trusted: Vec<Network>,
    /// For whom requests are forwarded to foreign domains.
    pub relay: Relay,
    /// What is done with requests for our users.
    pub mode: Mode,
    /// The secret behind what we write into Record-Route and Via. One that is kept lets the
    /// dialogs that are open outlive a restart; without one each start makes its own.
    pub secret: Option<[u8; 16]>,
    /// The value of a Server header field in responses of our own; none if empty.
    pub server: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            aliases: Vec::new(),
            addresses: Vec::new(),
            realm: None,
            authenticate: true,
            authenticate_register: true,
            known_users_only: true,
            trusted: Vec::new(),
            relay: Relay::default(),
            mode: Mode::default(),
            secret: None,
            server: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses() {
        let net = Network { address: "10.1.0.0".parse().unwrap(), prefix: 16 };
        assert!(net.holds("10.1.255.1".parse().unwrap()));
        assert!(!net.holds("10.2.0.1".parse().unwrap()));
        assert!(!net.holds("::1".parse().unwrap()));
        assert!(net.holds("::ffff:10.1.2.3".parse().unwrap()));
        let all = Network { address: "::".parse().unwrap(), prefix: 0 };
        assert!(all.holds("::1".parse().unwrap()));
    }
}
