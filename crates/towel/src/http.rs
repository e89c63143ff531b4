//! Asking the running server by its HTTP port.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Largest answer that is read.
const MOST: u64 = 256 << 20;

/// The port of a running server.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    address: SocketAddr,
    token: String,
}

impl Port {
    /// The port of the server that has its data here, if one runs.
    pub(crate) fn of(data: &Path, configured: SocketAddr) -> Option<Port> {
        let token = std::fs::read_to_string(towel_server::secret::token_file(data)).ok()?;
        let written = std::fs::read_to_string(data.join("http-address")).ok();
        let address = written.and_then(|t| t.trim().parse().ok()).unwrap_or(configured);
        let port = Port { address, token: token.trim().to_owned() };
        // A file is left behind by kill -9; what counts is whether somebody answers there.
        let status = port.get("/api/status").ok()?;
        let theirs = std::fs::canonicalize(status.get("data")?.as_str()?).ok()?;
        (theirs == std::fs::canonicalize(data).ok()?).then_some(port)
    }

    /// A JSON answer.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.json("GET", path, None)
    }

    /// A JSON answer to a change.
    pub(crate) fn json(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let text = self.text(method, path, body)?;
        serde_json::from_str(&text).context("the server's answer is not JSON")
    }

    /// An answer as text.
    pub(crate) fn text(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let timeout = Duration::from_secs(30);
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(3))
            .with_context(|| format!("no server answers at http://{}", self.address))?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        // HTTP/1.0: the answer ends with the connection, and is never in chunks.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.take(MOST).read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            bail!("the server's answer was cut short");
        };
        let status = head.split(' ').nth(1).unwrap_or("");
        if !status.starts_with('2') {
            let told: Option<Value> = serde_json::from_str(body).ok();
            let why = told.as_ref().and_then(|v| v.get("error")).and_then(Value::as_str);
            bail!("{}", why.unwrap_or_else(|| body.trim()));
        }
        Ok(body.to_owned())
    }
}

/// Percent-encodes a value for a path or a query.
pub(crate) fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}
