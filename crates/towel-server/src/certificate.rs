//! The certificate that towel makes for itself when none is configured.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::secret::write_private;

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Whether they were made just now.
    pub fresh: bool,
}

/// The certificate in the data folder, made for these names where there is none yet.
pub fn of(data: &Path, domains: &[String], addresses: &[IpAddr]) -> io::Result<Files> {
    let files = Files {
        certificate: data.join("tls-certificate.pem"),
        key: data.join("tls-key.pem"),
        fresh: false,
    };
    if files.certificate.exists() && files.key.exists() {
        return Ok(files);
    }
    let mut names: Vec<String> = vec!["localhost".into()];
    names.extend(domains.iter().map(|d| d.trim_matches(['[', ']']).to_owned()));
    names.extend(addresses.iter().map(ToString::to_string));
    names.sort();
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    // The key first: a certificate without its key would be taken for a finished pair.
    write_private(&files.key, made.signing_key.serialize_pem().as_bytes())?;
    write_private(&files.certificate, made.cert.pem().as_bytes())?;
    Ok(Files { fresh: true, ..files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_kept() {
        let dir = std::env::temp_dir().join(format!("towel-cert-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let domains = ["example.org".to_owned()];
        let first = of(&dir, &domains, &[IpAddr::from([127, 0, 0, 1])]).unwrap();
        assert!(first.fresh);
        let pem = std::fs::read_to_string(&first.certificate).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(!of(&dir, &domains, &[]).unwrap().fresh);
        assert_eq!(std::fs::read_to_string(&first.certificate).unwrap(), pem);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
