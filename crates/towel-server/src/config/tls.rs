//! The PEM files that a configuration names: read before anything is begun with them.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use towel_net::{check_authorities, check_certificate, check_key, is_pair};

use super::read::Reading;
use super::{Problem, Tls};

/// The most that is read of a file.
const MAX_PEM: u64 = 16 << 20;

/// What is wrong with a PEM text.
type Check = fn(&[u8]) -> Result<(), String>;

/// Reads each file that this document names, and tells what cannot be used.
pub(super) fn check(reading: &mut Reading<'_>, tls: &Tls) {
    let files: [(&str, &Option<PathBuf>, Check, &str); 3] = [
        (
            "tls.certificate",
            &tls.certificate,
            check_certificate,
            "name a PEM file with our certificate, and behind it those of who signed it; without \
             tls.certificate and tls.key towel makes one for itself",
        ),
        (
            "tls.key",
            &tls.key,
            check_key,
            "name the PEM file with the certificate's private key; `openssl pkey -in KEY -out NEW` \
             writes an encrypted one in the open",
        ),
        (
            "tls.ca",
            &tls.ca,
            check_authorities,
            "name a PEM file with the certificates of who signs for other servers; without tls.ca \
             those are trusted that the system trusts",
        ),
    ];
    let mut sound = true;
    for (key, path, check, help) in files {
        let Some(path) = path.as_ref().filter(|_| reading.has(key)) else { continue };
        if let Err(why) = read(path).and_then(|pem| check(&pem)) {
            sound = false;
            reading.problem(key, format!("{}: {why}", path.display())).help = Some(help.into());
        }
    }
    if sound
        && reading.has("tls.certificate")
        && reading.has("tls.key")
        && let Some(key) = &tls.key
        && !belong_together(tls)
    {
        let problem = reading.problem("tls.key", "");
        *problem = mismatch(problem.clone(), key);
    }
}

/// Whether the key is the certificate's, where both are there.
pub(super) fn belong_together(tls: &Tls) -> bool {
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else { return true };
    matches!((read(certificate), read(key)), (Ok(chain), Ok(key)) if is_pair(&chain, &key))
}

/// That the key is another's.
pub(super) fn mismatch(mut problem: Problem, key: &Path) -> Problem {
    problem.message = format!("{}: is not the key of tls.certificate", key.display());
    problem.help(
        "name the key that the certificate was made for; our own certificate stands first in its \
         file, before those of who signed it",
    )
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut pem = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_PEM).read_to_end(&mut pem))
        .map_err(|e| e.to_string())?;
    Ok(pem)
}
