//! `towel call` and `towel answer`: a phone in the terminal.

mod desk;
mod keys;
mod say;
mod sound;
mod summary;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use towel_core::ua::user_agent::Profile;
use towel_phone::{Act, Crowd, Play, Registration, Role, Rule, Setup, Step};

use crate::options::misused;
use crate::ua_commands::Way;
use crate::uac::Party;
use desk::Plan;
use sound::Sound;

/// How long a registration is asked for, in seconds.
const EXPIRES: u32 = 600;
/// How long a call is up before keys are pressed.
const BEFORE_KEYS: Duration = Duration::from_secs(1);
/// So many calls a person can follow; of more the sum is told.
const FEW: u32 = 1;
/// So many calls there may be at a time where nothing is said: by transfers one becomes more.
const USUAL: usize = 64;

/// Call somebody, with audio.
///
/// Exit codes: 0 the call was up, 1 it was refused, 2 the command line is wrong, 3 it could not be
/// made, 4 nobody answered. In a terminal the keys 0-9 * # A-D are dialled while the call is up, h puts the
/// peer on hold, r takes it off hold, and q hangs up.
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
    /// Press these keys a second after the call is up (--do says other times)
    #[arg(long, value_name = "KEYS")]
    dtmf: Option<String>,
    /// Call so often, and tell the sum of it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Many calls")]
    calls: u32,
    /// So many calls begin in a second
    #[arg(long, value_name = "R", default_value_t = 10.0, help_heading = "Many calls")]
    rate: f64,
    /// So many calls at a time, at most
    #[arg(long, value_name = "C", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Many calls")]
    concurrent: u32,
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
        if !(self.rate > 0.0 && self.rate <= 100_000.0) {
            misused!("`{}` calls a second cannot be made", self.rate);
        }
        let concurrent = self.concurrent as usize;
        let role = Role::Caller {
            to: format!("{}{over}", party.uri(true)),
            patience: Duration::from_secs(self.way.timeout),
            crowd: Crowd { calls: self.calls, rate: self.rate, concurrent },
        };
        let mut script = self.sound.steps()?;
        if let Some(keys) = &self.dtmf {
            let act: Act = match format!("dtmf {keys}").parse() {
                Ok(act) => act,
                Err(why) => misused!("--dtmf: {why}"),
            };
            script.insert(0, Step { after: (BEFORE_KEYS, BEFORE_KEYS), act });
        }
        let registers = from.as_ref().filter(|_| self.register);
        let (play, many) = (self.sound.play()?, self.calls > FEW);
        let plan = Plan {
            way: &self.way,
            party: &party,
            from: from.as_ref(),
            sound: &self.sound,
            total: many.then_some(u64::from(self.calls)),
            many,
            concurrent: if many { concurrent } else { FEW as usize },
        };
        desk::run(&plan, |address| {
            let most = concurrent.max(USUAL);
            Ok(Setup { most, ..setup(&self.sound, play, script, registers, role, address)? })
        })
    }
}

/// Wait for calls and answer them by rule.
///
/// Exit codes: 0 all went well, 1 the registration was refused, 2 the command line is wrong, 3 something
/// could not be done, 4 the registrar did not answer. In a terminal the keys of `towel call` are for the
/// latest call.
#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// Who is called: user@domain; it is registered
    #[arg(long)]
    from: String,
    /// Wait for calls without a registration
    #[arg(long)]
    no_register: bool,
    /// Ring so many seconds before answering
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=170))]
    after: u64,
    /// Be busy: 486
    #[arg(long, conflicts_with_all = ["reject", "redirect"])]
    busy: bool,
    /// Refuse, with this status or 603
    #[arg(long, value_name = "STATUS", num_args = 0..=1, default_missing_value = "603", value_parser = clap::value_parser!(u16).range(400..700))]
    reject: Option<u16>,
    /// Send callers to this URI: 302
    #[arg(long, value_name = "URI", conflicts_with = "reject")]
    redirect: Option<String>,
    /// What is played is heard while it rings, too: 183 with early media
    #[arg(long)]
    early: bool,
    /// Say what is heard
    #[arg(long, conflicts_with = "play")]
    echo: bool,
    /// What is done with certain callers: CALLER=answer, busy, reject STATUS, redirect URI, echo or play
    /// WHAT, with `after 2s` behind it if they ring; * in CALLER is anything. The first that fits counts
    #[arg(long, value_name = "RULE")]
    when: Vec<String>,
    /// Be done after so many calls [default: when interrupted]
    #[arg(long, value_name = "N")]
    calls: Option<u32>,
    /// So many calls at a time, at most; others find it busy
    #[arg(long, value_name = "C", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Many calls")]
    concurrent: u32,
    /// Tell the sum of all calls, and not each
    #[arg(long, help_heading = "Many calls")]
    summary: bool,
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
        let mut rules = Vec::new();
        for when in &self.when {
            match when.parse::<Rule>() {
                Ok(rule) => rules.push(rule),
                Err(why) => misused!("--when: {why}"),
            }
        }
        let act = match (&self.redirect, self.reject) {
            (Some(uri), _) => Act::Redirect(uri.clone()),
            (None, Some(status)) => Act::Refuse(status),
            (None, None) if self.busy => Act::Refuse(486),
            (None, None) => Act::Answer,
        };
        let after = Duration::from_secs(self.after);
        rules.push(Rule { after, early: self.early, act, ..Rule::default() });
        let role = Role::Callee { rules, calls: self.calls };
        let play = if self.echo { Play::Echo } else { self.sound.play()? };
        let script = self.sound.steps()?;
        let plan = Plan {
            way: &self.way,
            party: &from,
            from: Some(&from),
            sound: &self.sound,
            total: self.calls.map(u64::from),
            many: self.summary,
            concurrent: self.concurrent as usize,
        };
        let registers = Some(&from).filter(|_| !self.no_register);
        desk::run(&plan, |address| {
            let most = self.concurrent as usize;
            Ok(Setup { most, ..setup(&self.sound, play, script, registers, role, address)? })
        })
    }
}

fn setup(
    sound: &Sound,
    play: Play,
    script: Vec<Step>,
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
        listeners: desk::LISTENERS.len(),
        wants: sound.wants()?,
        play,
        record: sound.record.clone(),
        lasts: sound.seconds.map(Duration::from_secs),
        script,
        keys: sound.keys(),
        registration,
        role,
        ..Setup::new(address)
    })
}

/// Who the phone is.
fn profile(plan: &Plan<'_>, account: Option<crate::uac::Account>) -> Result<Profile> {
    let route = match &plan.way.server {
        None => None,
        Some(server) => {
            let server = Party { user: None, ..Party::parse(server)? };
            let over = plan.way.transport.map(|t| format!(";transport={}", t.word()));
            Some(format!("{}{}", server.uri(true), over.unwrap_or_default()))
        }
    };
    let mut profile = Profile { account, route, ..Profile::default() };
    if let Some(from) = plan.from {
        profile.address = format!("<{}>", from.uri(false));
        profile.contact = from.user.clone().unwrap_or_default();
    }
    Ok(profile)
}
