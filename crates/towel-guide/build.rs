//! Lists the flows that stand in the folder `flows`, so that they are bound into whatever runs them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn find(folder: &Path, out: &mut Vec<PathBuf>) {
    // A flow that comes or goes changes its folder, one that is edited itself.
    println!("cargo:rerun-if-changed={}", folder.display());
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            find(&path, out);
        } else if path.extension().is_some_and(|e| e == "flow") {
            println!("cargo:rerun-if-changed={}", path.display());
            out.push(path);
        }
    }
}

fn main() {
    let flows = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let flows = flows.join("flows");
    let mut paths = Vec::new();
    find(&flows, &mut paths);
    paths.sort();
    let mut code = String::from("&[\n");
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let inside = path.strip_prefix(&flows).expect("it was found there");
        let entry = inside.iter().next().unwrap_or_default().to_string_lossy();
        let path = path.display().to_string();
        writeln!(
            code,
            "    FlowText {{ entry: {entry:?}, name: {name:?}, text: include_str!({path:?}) }},"
        )
        .expect("a String takes everything");
    }
    code.push_str("]\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    std::fs::write(out.join("flows.rs"), code).expect("OUT_DIR can be written");
}
