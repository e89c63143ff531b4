//! Digest authentication (RFC 3261 section 22, RFC 7616, RFC 8760).
//!
//! [`Authenticator`] is the side that challenges, as a UAS (401) or as a proxy (407); its nonces
//! need no memory, and a window of a fixed size keeps a nonce count from being used twice.
//! [`Credentials`] are the users; [`client`] answers challenges.

pub mod client;
pub mod credentials;
pub mod digest;
pub mod field;
pub mod nonce;
mod verify;

pub use credentials::{Credentials, User};
pub use digest::Algorithm;
pub use verify::{Accepted, Authenticator, Gate, Kind, Outcome};

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The algorithms to offer, the one that we would rather see first (RFC 8760 section 2.3).
    pub algorithms: Vec<Algorithm>,
    /// How the User-Agent of phones begins that give up at the sight of any algorithm but MD5
    /// instead of passing over its challenge, as RFC 7616 section 3.7 wants it. They are offered
    /// MD5 alone, if it is offered at all.
    pub md5_only: Vec<String>,
    /// For how many seconds a nonce is good.
    pub nonce_lifetime: u32,
    /// How many nonces the window against replay remembers at a time.
    pub nonces_remembered: usize,
    /// Whether a nonce count is good only once. Off for peers that never count.
    pub replay_window: bool,
    /// Whether `auth-int` is offered beside `auth`.
    pub integrity: bool,
    /// Whether a peer of RFC 2069, which sends neither qop nor nonce count, may pass. Each nonce
    /// is then good for one request of it.
    pub without_qop: bool,
    /// Whether a 2xx to a request that proved itself carries Authentication-Info (RFC 7616 section
    /// 3.5), by which the client can tell that the server knows the password as well.
    pub authentication_info: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            algorithms: Algorithm::ALL.to_vec(),
            md5_only: ["baresip v0.", "baresip v1.0", "sipsak", "SIPp"].map(Into::into).to_vec(),
            nonce_lifetime: 300,
            nonces_remembered: 1 << 16,
            replay_window: true,
            integrity: true,
            without_qop: true,
            authentication_info: false,
        }
    }
}

impl Settings {
    /// The algorithms to offer to this User-Agent.
    pub fn offered_to(&self, agent: &[u8]) -> &[Algorithm] {
        let knows_md5_alone = self.md5_only.iter().any(|begin| agent.starts_with(begin.as_bytes()));
        if knows_md5_alone && self.algorithms.contains(&Algorithm::Md5) {
            &[Algorithm::Md5]
        } else {
            &self.algorithms
        }
    }
}
