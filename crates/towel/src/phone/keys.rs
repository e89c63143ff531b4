//! The keys of the terminal while a phone runs.

use std::io::{IsTerminal as _, Read as _};
use std::sync::OnceLock;
use std::sync::mpsc::Sender;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};
use towel_core::io::Command;
use towel_net::Handle;
use towel_phone::{Act, Order};

/// How the terminal was before.
static BEFORE: OnceLock<std::sync::Mutex<Termios>> = OnceLock::new();

/// The terminal gives each key at once. Dropped, it is as it was.
pub(super) struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Has the terminal be as it was before keys were read.
pub(super) fn restore() {
    if let Some(before) = BEFORE.get().and_then(|before| before.lock().ok()) {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &before);
    }
}

/// What a key is for.
fn order(key: char) -> Option<Order> {
    let act = match key {
        '0'..='9' | '*' | '#' | 'A'..='D' => Act::Dial(key.to_string()),
        'h' => Act::Hold,
        'r' => Act::Resume,
        'q' => Act::HangUp,
        _ => return None,
    };
    Some(Order::Do(0, act))
}

/// Reads keys where the standard input is a terminal and this process is what it works for.
pub(super) fn listen(orders: Sender<Order>, handle: Handle) -> Option<Raw> {
    let stdin = std::io::stdin();
    // Who changed the terminal from the background would be stopped.
    let ours = stdin.is_terminal() && tcgetpgrp(&stdin).is_ok_and(|group| group == getpgrp());
    if !ours {
        return None;
    }
    let before = tcgetattr(&stdin).ok()?;
    let mut raw = before.clone();
    raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
    BEFORE.set(std::sync::Mutex::new(before)).ok()?;
    tcsetattr(&stdin, SetArg::TCSANOW, &raw).ok()?;
    let read = move || {
        for byte in std::io::stdin().lock().bytes().map_while(Result::ok) {
            let Some(order) = order(char::from(byte)) else { continue };
            if orders.send(order).is_err() {
                return;
            }
            handle.command(Command::Load(Vec::new()));
        }
    };
    // It waits for a key until the process ends.
    std::thread::Builder::new().name("keys".into()).spawn(read).ok()?;
    Some(Raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_telephone_and_letters_for_the_rest() {
        assert_eq!(order('#'), Some(Order::Do(0, Act::Dial("#".into()))));
        assert_eq!(order('D'), Some(Order::Do(0, Act::Dial("D".into()))));
        assert_eq!(order('h'), Some(Order::Do(0, Act::Hold)));
        assert_eq!(order('q'), Some(Order::Do(0, Act::HangUp)));
        assert_eq!((order('x'), order('d')), (None, None));
    }
}
