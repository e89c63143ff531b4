//! Random passwords and tokens, and the file that holds the token of the HTTP port.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Letters and digits that are not taken for one another when typed into a phone.
const EASY: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789x";

/// Fills a buffer with random bytes of the system.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(bytes)
}

/// A password of 12 characters that can be typed on a phone's keypad: 60 bits.
pub fn password() -> io::Result<String> {
    let text: String =
        random::<12>()?.iter().map(|b| char::from(EASY[usize::from(b & 31)])).collect();
    Ok(format!("{}-{}-{}", &text[..4], &text[4..8], &text[8..]))
}

/// A token of 128 bits in hexadecimal digits.
pub fn token() -> io::Result<String> {
    Ok(random::<16>()?.iter().map(|b| format!("{b:02x}")).collect())
}

/// Where the token of the HTTP port lies.
pub fn token_file(data: &Path) -> PathBuf {
    data.join("http-token")
}

/// The token in the data folder, made on the first call; the file is its owner's alone.
pub fn token_of(data: &Path) -> io::Result<String> {
    let path = token_file(data);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 16 => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = token()?;
    write_private(&path, format!("{token}\n").as_bytes())?;
    Ok(token)
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

/// Compares two secrets in a time that does not tell where they differ.
pub fn same(a: &str, b: &str) -> bool {
    let mut difference = u8::from(a.len() != b.len());
    for (x, y) in a.bytes().zip(b.bytes()) {
        difference |= x ^ y;
    }
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_and_can_be_typed() {
        let (a, b) = (password().unwrap(), password().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 14);
        assert!(a.chars().all(|c| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit()));
    }

    #[test]
    fn the_token_is_made_once_and_private() {
        let dir = std::env::temp_dir().join(format!("towel-token-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let token = token_of(&dir).unwrap();
        assert_eq!(token_of(&dir).unwrap(), token);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(token_file(&dir)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
