//! `towel call` and `towel answer`: a phone in the terminal.

mod desk;
mod say;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use towel_core::ua::user_agent::Profile;
use towel_media::codec::Codec;
use towel_phone::{Play, Registration, Role, Setup};

use crate::options::misused;
use crate::ua_commands::Way;
use crate::uac::Party;

/// How long a registration is asked for, in seconds.
const EXPIRES: u32 = 600;

/// What both have in common.
#[derive(Debug, Args)]
struct Sound {
    /// What is said: a WAV file, or tone:HERTZ [default: nothing]
    #[arg(long, value_name = "FILE|tone:HZ")]
    play: Option<String>,
    /// WAV file to write what is heard to; later calls have their number in its name
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Codecs, the preferred first
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "opus,g722,pcma,pcmu")]
    codec: Vec<String>,
    /// Hang up so many seconds after the call is up
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

impl Sound {
    fn play(&self) -> Result<Play> {
        let play = match self.play.as_deref() {
            None => Play::Silence,
            Some(text) => match text.strip_prefix("tone:") {
                Some(hertz) => match hertz.parse() {
                    Ok(hertz) if (20.0..=7000.0).contains(&hertz) => Play::Tone(hertz),
                    _ => misused!("`{hertz}` is no pitch: 20 to 7000 Hz can be played"),
                },
                None => Play::File(text.into()),
            },
        };
        // A file that cannot be played is told of before anybody is called.
        play.open().map_err(anyhow::Error::msg)?;
        Ok(play)
    }

    fn codecs(&self) -> Result<Vec<Codec>> {
        let mut codecs = Vec::new();
        for name in &self.codec {
            let Some(codec) = Codec::ALL.into_iter().find(|c| c.name().eq_ignore_ascii_case(name))
            else {
                misused!("`{name}` is no codec; there are opus, g722, pcma and pcmu");
            };
            if !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        Ok(codecs)
    }
}

/// Call somebody, with audio.
#[derive(Debug, Args)]
pub(crate) struct Call {
    /// Whom: user@domain
    to: String,
    /// Who calls: user@domain
    #[arg(long)]
    from: Option<String>,
    /// Register first, and remove the registration afterwards
    #[arg(long, requires = "from")]
    register: bool,
    #[command(flatten)]
    sound: Sound,
    #[command(flatten)]
    way: Way,
}

impl Call {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let party = Party::parse(&self.to)?;
        let from = self.from.as_deref().map(Party::parse).transpose()?;
        let over = self.way.transport.filter(|_| self.way.server.is_none());
        let over = over.map(|t| format!(";transport={}", t.word())).unwrap_or_default();
        let role = Role::Caller {
            to: format!("{}{over}", party.uri(true)),
            patience: Duration::from_secs(self.way.timeout),
        };
        let registers = from.as_ref().filter(|_| self.register);
        desk::run(&self.way, &party, from.as_ref(), |address| {
            setup(&self.sound, self.sound.play()?, registers, role, address)
        })
    }
}

/// Wait for calls and answer them by rule.
#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// Who is called: user@domain; it is registered
    #[arg(long)]
    from: String,
    /// Ring so many seconds before answering
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=170))]
    after: u64,
    /// Be busy: 486
    #[arg(long, conflicts_with = "reject")]
    busy: bool,
    /// Decline: 603
    #[arg(long)]
    reject: bool,
    /// Say what is heard
    #[arg(long, conflicts_with = "play")]
    echo: bool,
    /// Be done after so many calls [default: when interrupted]
    #[arg(long, value_name = "N")]
    calls: Option<u32>,
    #[command(flatten)]
    sound: Sound,
    #[command(flatten)]
    way: Way,
}

impl Answer {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let from = Party::parse(&self.from)?;
        if from.user.is_none() {
            misused!("`{}` names no user", self.from);
        }
        let role = Role::Callee {
            after: Duration::from_secs(self.after),
            refuse: if self.busy {
                Some(486)
            } else if self.reject {
                Some(603)
            } else {
                None
            },
            calls: self.calls,
        };
        let play = if self.echo { Play::Echo } else { self.sound.play()? };
        desk::run(&self.way, &from, Some(&from), |address| {
            setup(&self.sound, play, Some(&from), role, address)
        })
    }
}

fn setup(
    sound: &Sound,
    play: Play,
    registers: Option<&Party>,
    role: Role,
    address: std::net::IpAddr,
) -> Result<Setup> {
    let registration = registers.map(|party| Registration {
        aor: party.uri(false),
        // Section 10.2: the Request-URI names the domain, without a user.
        registrar: Party { user: None, ..party.clone() }.uri(true),
        expires: EXPIRES,
    });
    Ok(Setup {
        address,
        listeners: desk::LISTENERS.len(),
        codecs: sound.codecs()?,
        play,
        record: sound.record.clone(),
        lasts: sound.seconds.map(Duration::from_secs),
        registration,
        role,
    })
}

/// Who the phone is.
fn profile(
    way: &Way,
    from: Option<&Party>,
    account: Option<crate::uac::Account>,
) -> Result<Profile> {
    let route = match &way.server {
        None => None,
        Some(server) => {
            let server = Party { user: None, ..Party::parse(server)? };
            let over = way.transport.map(|t| format!(";transport={}", t.word()));
            Some(format!("{}{}", server.uri(true), over.unwrap_or_default()))
        }
    };
    let mut profile = Profile { account, route, ..Profile::default() };
    if let Some(from) = from {
        profile.address = format!("<{}>", from.uri(false));
        profile.contact = from.user.clone().unwrap_or_default();
    }
    // What one terminal can follow.
    profile.max_calls = 64;
    Ok(profile)
}
