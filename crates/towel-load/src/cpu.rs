//! What a process and its children use of the processor, as Linux tells it.
//!
//! The total is the scheduler's own run time in nanoseconds (`schedstat`, over all threads). User
//! and system time come from `stat` in clock ticks of 10 ms, so only their shares are used. A
//! thread that has ended between two looks is in `stat` alone: then the larger counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A look at a process tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    run: u64,
    user: u64,
    system: u64,
    processes: u64,
    memory: u64,
    waited: u64,
    dropped: u64,
}

/// What was used between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// In all.
    pub total: Duration,
    /// In the program, in ticks.
    user: u64,
    /// In the kernel, in ticks.
    system: u64,
    /// Bytes of memory at the second look: the proportional set size.
    pub memory: u64,
    /// How long its threads could have run and had no processor (`schedstat`).
    pub waited: Duration,
    /// Datagrams that came for its sockets and found no room there.
    pub dropped: u64,
}

impl Used {
    /// The shares of the program and of the kernel; they add up to 1, or are both 0.
    pub fn shares(&self) -> (f64, f64) {
        let all = self.user + self.system;
        if all == 0 {
            return (0.0, 0.0);
        }
        (self.user as f64 / all as f64, self.system as f64 / all as f64)
    }
}

/// What a step used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// The server, where its process is known.
    pub server: Option<Used>,
    /// The generator.
    pub own: Used,
}

/// Nanoseconds of a clock tick: USER_HZ is 100 on every Linux that there is.
const TICK: u64 = 10_000_000;

impl Look {
    /// Looks at a process and all that it has started. `memory` costs the kernel some milliseconds
    /// for a large process.
    pub fn at(pid: u32, memory: bool) -> Look {
        let mut look = Look::default();
        for pid in tree(pid) {
            let folder = Path::new("/proc").join(pid.to_string());
            let Some((_, user, system)) = stat(&folder) else { continue };
            look.user += user;
            look.system += system;
            look.processes += 1;
            let Ok(tasks) = fs::read_dir(folder.join("task")) else { continue };
            for task in tasks.flatten() {
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let mut numbers = text.split_whitespace().map_while(|n| n.parse::<u64>().ok());
                look.run += numbers.next().unwrap_or(0);
                look.waited += numbers.next().unwrap_or(0);
            }
            look.dropped += dropped(&folder);
            if memory {
                let text = fs::read_to_string(folder.join("smaps_rollup")).unwrap_or_default();
                let pss = text.lines().find_map(|l| l.strip_prefix("Pss:"));
                let kilobytes = pss.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
                look.memory += kilobytes.unwrap_or(0) * 1024;
            }
        }
        look
    }

    /// What was used since an earlier look.
    pub fn since(&self, earlier: &Look) -> Used {
        let run = self.run.saturating_sub(earlier.run);
        let user = self.user.saturating_sub(earlier.user);
        let system = self.system.saturating_sub(earlier.system);
        let ticks = (user + system) * TICK;
        let rounding = 20_000_000 + 10_000_000 * self.processes;
        let total = if ticks.saturating_sub(run) < rounding { run } else { ticks };
        Used {
            total: Duration::from_nanos(total),
            user,
            system,
            memory: self.memory,
            waited: Duration::from_nanos(self.waited.saturating_sub(earlier.waited)),
            dropped: self.dropped.saturating_sub(earlier.dropped),
        }
    }
}

/// Whether there is such a process, whose figures can be read.
pub fn is_there(pid: u32) -> bool {
    fs::read_dir(format!("/proc/{pid}/task")).is_ok()
}

/// The parent, the user time and the system time in a `stat` file.
fn stat(folder: &Path) -> Option<(u32, u64, u64)> {
    let text = fs::read_to_string(folder.join("stat")).ok()?;
    parse_stat(&text)
}

fn parse_stat(text: &str) -> Option<(u32, u64, u64)> {
    // The name in parentheses may hold anything, spaces and parentheses among it.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    Some((u32::try_from(number(1)?).ok()?, number(11)?, number(12)?))
}

/// How many datagrams were dropped at the UDP sockets of a process, for as long as they are open.
fn dropped(folder: &Path) -> u64 {
    let links = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
    let sockets: BTreeSet<u64> = links
        .filter_map(|link| {
            let target = fs::read_link(link.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect();
    let tables = ["net/udp", "net/udp6"].map(|name| folder.join(name));
    let texts = tables.iter().map(|path| fs::read_to_string(path).unwrap_or_default());
    texts.map(|text| drops(&text, &sockets)).sum()
}

/// The last column of those lines of a table of sockets (proc_net(5)) whose inode is one of these.
fn drops(table: &str, sockets: &BTreeSet<u64>) -> u64 {
    let lines = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let inode = fields.get(9)?.parse().ok()?;
        sockets.contains(&inode).then(|| fields.get(12)?.parse::<u64>().ok())?
    });
    lines.sum()
}

/// A process and its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some((parent, ..)) = stat(&entry.path()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut all, mut next) = (Vec::new(), vec![root]);
    while let Some(pid) = next.pop() {
        all.push(pid);
        // Taken out, so that no loop of parents could keep this going.
        next.extend(children.remove(&pid).unwrap_or_default());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = "77 (a) b) (c) S 5 77 77 0 -1 4194560 1 0 0 0 123 45 0 0 20 0 1";
        assert_eq!(parse_stat(text), Some((5, 123, 45)));
        assert_eq!(parse_stat("77 (a) S 5"), None);
    }

    #[test]
    fn work_is_seen_and_a_child_counts() {
        let own = std::process::id();
        assert!(is_there(own) && !is_there(u32::MAX));
        let before = Look::at(own, true);
        assert!(before.memory > 0 && before.processes >= 1);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(tree(own).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        // Some work that cannot be left out.
        let mut sum = 0u64;
        for n in 0..3_000_000u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(n));
        }
        std::hint::black_box(sum);
        assert!(Look::at(own, false).since(&before).total > Duration::ZERO);
    }

    #[test]
    fn datagrams_that_found_no_room_are_counted() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let before = Look::at(std::process::id(), false);
        let full = [0; 60_000];
        for _ in 0..2_000 {
            socket.send_to(&full, socket.local_addr().unwrap()).unwrap();
        }
        let used = Look::at(std::process::id(), false).since(&before);
        assert!((1..2_000).contains(&used.dropped), "{}", used.dropped);
        let table = "  sl local rem st tx:rx tr:tm retr uid timeout inode ref pointer drops\n\
                     7: 0100007F:1 0:0 07 0:0 00:0 0 0 0 4711 2 0 12\n\
                     8: 0100007F:2 0:0 07 0:0 00:0 0 0 0 4712 2 0 5\n";
        assert_eq!(drops(table, &BTreeSet::from([4711])), 12);
    }

    #[test]
    fn what_a_thread_used_that_ended_is_in_the_ticks() {
        let at = |run, user| Look { run, user, processes: 1, ..Look::default() };
        let used = at(5_000_000, 40).since(&at(0, 0));
        assert_eq!(used.total, Duration::from_millis(400));
        assert_eq!(at(390_000_000, 40).since(&at(0, 0)).total, Duration::from_millis(390));
        assert_eq!(used.shares(), (1.0, 0.0));
    }
}
