//! The crates of the core read no clock, socket, file, environment or thread: time and bytes are
//! handed to them. Held here against their sources, test modules apart.

use std::path::{Path, PathBuf};

const FORBIDDEN: [&str; 12] = [
    "Instant::now",
    "SystemTime",
    "UNIX_EPOCH",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "std::os",
];

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|end| end == "rs") {
            out.push(path);
        }
    }
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

#[test]
fn the_core_touches_no_outside() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of crates");
    let mut found = Vec::new();
    for name in ["towel-message", "towel-core", "towel-guide", "towel-sim"] {
        let mut files = Vec::new();
        sources(&crates.join(name).join("src"), &mut files);
        assert!(!files.is_empty());
        for file in files.iter().filter(|file| !is_test(file)) {
            let text = std::fs::read_to_string(file).expect("a source");
            // A test module in the same file stands at its end.
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for (at, line) in code.lines().enumerate() {
                let line = line.split("//").next().unwrap_or_default();
                if let Some(what) = FORBIDDEN.iter().find(|what| line.contains(**what)) {
                    found.push(format!("{}:{}: {what}", file.display(), at + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
