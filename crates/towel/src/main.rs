//! The towel program: a SIP server, its tools, and the living guide.

/// `println!` for a reader that may have gone.
macro_rules! say {
    ($($arg:tt)*) => { $crate::options::write_line(format_args!($($arg)*)) };
}

mod b2bua;
mod bans;
mod check;
mod guide;
mod http;
mod load;
mod options;
mod phone;
mod progress;
mod serve;
mod simulate;
mod store;
mod trace;
mod ua_commands;
mod uac;
mod user;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// SIP server and tools: the Hitchhiker's Guide to SIP made executable.
#[derive(Debug, Parser)]
#[command(name = "towel", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Serve),
    /// Check a configuration file and say all that is wrong with it.
    Check(check::Check),
    /// Add, remove and list users, and change their passwords.
    User(user::User),
    /// Register a contact, as a phone does.
    Register(ua_commands::Register),
    /// Ask a server or user what it can do.
    Options(ua_commands::Options),
    /// Send a text to a user.
    Message(ua_commands::Message),
    /// Call somebody, with audio.
    Call(phone::Call),
    /// Wait for calls and answer them by rule.
    Answer(phone::Answer),
    /// Stand between callers and one next hop, with a call of its own on each side.
    B2bua(b2bua::B2bua),
    /// Load a server with calls and other work, and say how it bears them.
    Load(Box<load::Load>),
    /// Show the Guide, and what of it works.
    Guide(guide::Guide),
    /// Show a call of the running server as a ladder.
    Trace(trace::Trace),
    /// Have the running server read its configuration again.
    Reload(options::Place),
    /// Run servers and phones in a simulated network, and look for what must never be.
    Simulate(simulate::Simulate),
    /// Show who is banned, or lift a ban.
    Bans(bans::Bans),
    /// Look at the store, or save what can be read of a damaged one.
    Store(store::Store),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(it) => it.run(),
        Command::Check(it) => it.run(),
        Command::User(it) => it.run(),
        Command::Register(it) => it.run(),
        Command::Options(it) => it.run(),
        Command::Message(it) => it.run(),
        Command::Call(it) => it.run(),
        Command::Answer(it) => it.run(),
        Command::B2bua(it) => it.run(),
        Command::Load(it) => it.run(),
        Command::Guide(it) => it.run(),
        Command::Trace(it) => it.run(),
        Command::Reload(it) => trace::reload(&it),
        Command::Simulate(it) => it.run(),
        Command::Bans(it) => it.run(),
        Command::Store(it) => it.run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("towel: {error:#}");
            let misused = error.downcast_ref::<options::Usage>().is_some();
            ExitCode::from(if misused { options::USAGE } else { options::FAILED })
        }
    }
}
