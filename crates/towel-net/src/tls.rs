//! TLS: our certificate, whom we trust, and which SIP domains a peer's certificate speaks for
//! (RFC 5922).

mod identity;
mod session;
mod verifier;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub use identity::identities;
pub(crate) use session::Session;
use verifier::DomainVerifier;

/// Our end of every TLS connection. A new one can be given to a running driver: connections that
/// are there keep what they began with.
pub struct Tls {
    pub(crate) server: Option<Arc<ServerConfig>>,
    pub(crate) client: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("listens", &self.server.is_some()).finish_non_exhaustive()
    }
}

/// Why there can be no TLS.
#[derive(Debug)]
pub enum TlsFault {
    /// The certificates, the key or the authorities cannot be read as PEM.
    Pem(String),
    /// They can be read and cannot be used.
    Use(rustls::Error),
    /// The authorities cannot be used.
    Roots(String),
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(why) => f.write_str(why),
            Self::Use(why) => write!(f, "the certificate and key cannot be used: {why}"),
            Self::Roots(why) => write!(f, "the authorities cannot be used: {why}"),
        }
    }
}

impl std::error::Error for TlsFault {}

/// What makes a [`Tls`].
#[derive(Debug, Clone, Default)]
pub struct TlsConfig {
    /// Our certificate chain and its key, both in PEM; needed to listen, and shown to servers
    /// that ask for it (RFC 5922 section 7.3).
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
    /// Authorities that may vouch for servers (and for clients that show a certificate), in PEM.
    pub authorities: Vec<Vec<u8>>,
    /// Take any server for whoever it says it is. For laboratories: it protects against those who
    /// only listen.
    pub trust_anyone: bool,
}

impl TlsConfig {
    /// Adds the authorities of a file, such as the system's own collection.
    pub fn add_authorities(&mut self, path: &Path) -> Result<(), TlsFault> {
        let pem =
            std::fs::read(path).map_err(|e| TlsFault::Pem(format!("{}: {e}", path.display())))?;
        self.authorities.push(pem);
        Ok(())
    }

    /// Puts it to use.
    pub fn build(&self) -> Result<Tls, TlsFault> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = self.roots()?;
        let pair = self.certificate.as_ref().map(read_pair).transpose()?;
        let server = match &pair {
            Some(pair) => Some(Arc::new(server_config(&provider, &roots, pair)?)),
            None => None,
        };
        let client = client_config(&provider, roots, pair, self.trust_anyone)?;
        Ok(Tls { server, client: Arc::new(client) })
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, TlsFault> {
        let mut roots = RootCertStore::empty();
        for pem in &self.authorities {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|e| TlsFault::Pem(e.to_string()))?;
                // A collection may hold a few that are too odd for us; the others still count.
                let _ = roots.add(certificate);
            }
        }
        if roots.is_empty() && !self.authorities.is_empty() {
            return Err(TlsFault::Roots("there is no usable certificate among them".into()));
        }
        Ok(Arc::new(roots))
    }
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_pair((chain, key): &(Vec<u8>, Vec<u8>)) -> Result<Pair, TlsFault> {
    let named = |what: &'static str| move |why| TlsFault::Pem(format!("{what}: {why}"));
    Ok((
        read_chain(chain).map_err(named("the certificate"))?,
        read_key(key).map_err(named("the private key"))?,
    ))
}

fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| e.to_string())?;
    if certificates.is_empty() {
        return Err("there is no certificate in it".into());
    }
    Ok(certificates)
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| match e {
        rustls::pki_types::pem::Error::NoItemsFound => {
            "there is no private key in it that is not encrypted".into()
        }
        other => other.to_string(),
    })
}

/// What is wrong with the PEM text of a certificate chain, in words.
pub fn check_certificate(pem: &[u8]) -> Result<(), String> {
    let chain = read_chain(pem)?;
    // The others are only passed on.
    let Some(ours) = chain.first() else { return Ok(()) };
    webpki::EndEntityCert::try_from(ours)
        .map(drop)
        .map_err(|e| format!("the certificate cannot be used: {e}"))
}

/// What is wrong with the PEM text of a private key, in words.
pub fn check_key(pem: &[u8]) -> Result<(), String> {
    let key = read_key(pem)?;
    rustls::crypto::ring::sign::any_supported_type(&key)
        .map(drop)
        .map_err(|e| format!("the key cannot be used: {e}"))
}

/// What is wrong with the PEM text of a collection of authorities, in words.
pub fn check_authorities(pem: &[u8]) -> Result<(), String> {
    let all = TlsConfig { authorities: vec![pem.to_vec()], ..TlsConfig::default() };
    all.build().map(drop).map_err(|e| match e {
        TlsFault::Pem(why) | TlsFault::Roots(why) => why,
        TlsFault::Use(why) => why.to_string(),
    })
}

/// Whether a key is the one that belongs to the first certificate of a chain, both being sound.
pub fn is_pair(chain: &[u8], key: &[u8]) -> bool {
    let pair = Some((chain.to_vec(), key.to_vec()));
    TlsConfig { certificate: pair, ..TlsConfig::default() }.build().is_ok()
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    (chain, key): &Pair,
) -> Result<ServerConfig, TlsFault> {
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsFault::Use)?;
    let builder = if roots.is_empty() {
        builder.with_no_client_auth()
    } else {
        // RFC 5922 section 7.4: a client may show who it is, and a phone usually has nothing to
        // show.
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|e| TlsFault::Roots(e.to_string()))?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config =
        builder.with_single_cert(chain.clone(), key.clone_key()).map_err(TlsFault::Use)?;
    // Connections live for hours, so resuming saves little, and the tickets would cost memory.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_config(
    provider: &Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    pair: Option<Pair>,
    trust_anyone: bool,
) -> Result<ClientConfig, TlsFault> {
    let verifier = DomainVerifier::new(roots, provider, trust_anyone);
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsFault::Use)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match pair {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(TlsFault::Use)?,
        None => builder.with_no_client_auth(),
    };
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}
