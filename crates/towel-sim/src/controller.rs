//! Our controller in a flow (RFC 3725): a server whose settings say `controller = AOR` is one.
//!
//! ```text
//! server desk 192.0.2.5
//!   controller = sip:click@example.com
//!   proxy = sip:192.0.2.1
//!   keep = yes
//!   do = 1s connect sip:alice@example.com with sip:bob@example.com by IV
//!   do = 40s replace first with sip:carol@example.com by IV
//!   do = 50s announce first sip:voice@example.com
//!   do = 80s end
//! ```
//!
//! What it does it does with the last two that it connected. With `keep` one stays when the other leaves.

use std::time::Duration;

use towel_core::contract::Registry;
use towel_core::io::{Input, Instant, Machine, Now, Outbox};
use towel_core::settings::Settings;
use towel_core::third_party::{self, Flow, JointHandle, Who, Wish};
use towel_core::ua::user_agent::Profile;

/// Something that its application does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    Connect { first: String, second: String, flow: Flow },
    Replace { who: Who, uri: String, flow: Flow },
    Announce { who: Who, uri: String },
    End,
}

/// What a controller is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    address: String,
    proxy: Option<String>,
    keep: bool,
    acts: Vec<(Duration, Act)>,
}

fn flow(word: &str) -> Result<Flow, String> {
    Ok(match word {
        "I" => Flow::I,
        "II" => Flow::II,
        "III" => Flow::III,
        "IV" => Flow::IV,
        _ => return Err(format!("no flow {word}: I, II, III, IV")),
    })
}

fn who(word: &str) -> Result<Who, String> {
    Ok(match word {
        "first" => Who::First,
        "second" => Who::Second,
        _ => return Err(format!("first or second, not {word}")),
    })
}

impl Script {
    /// Takes a setting; `None` where it has no such one.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        match key {
            "controller" => self.address = value.into(),
            "proxy" => self.proxy = Some(value.into()),
            "keep" => self.keep = value == "yes",
            "do" => return Some(self.act(value)),
            _ => return None,
        }
        Some(Ok(()))
    }

    fn act(&mut self, value: &str) -> Result<(), String> {
        let words: Vec<&str> = value.split_whitespace().collect();
        let (when, act) = match words.as_slice() {
            [when, "connect", first, "with", second, "by", how] => {
                let (first, second) = ((*first).into(), (*second).into());
                (when, Act::Connect { first, second, flow: flow(how)? })
            }
            [when, "replace", which, "with", uri, "by", how] => {
                (when, Act::Replace { who: who(which)?, uri: (*uri).into(), flow: flow(how)? })
            }
            [when, "announce", which, uri] => {
                (when, Act::Announce { who: who(which)?, uri: (*uri).into() })
            }
            [when, "end"] => (when, Act::End),
            _ => {
                return Err(format!(
                    "TIME connect URI with URI by FLOW | replace WHO with URI by FLOW | announce \
                     WHO URI | end: {value}"
                ));
            }
        };
        let micros = crate::flow::duration(when).ok_or_else(|| format!("not a time: {when}"))?;
        self.acts.push((Duration::from_micros(micros), act));
        Ok(())
    }
}

/// The machine.
pub(crate) struct Controller {
    core: third_party::Controller,
    script: Script,
    began: Option<Instant>,
    next: usize,
    joint: Option<JointHandle>,
}

impl Controller {
    pub(crate) fn new(
        settings: &Settings,
        registry: Registry,
        seed: [u8; 32],
        script: Script,
    ) -> Controller {
        let user = script.address.split([':', '@']).nth(1).unwrap_or("controller");
        let profile = Profile {
            address: format!("<{}>", script.address),
            contact: user.to_owned(),
            route: script.proxy.clone(),
            ..Profile::default()
        };
        let core = third_party::Controller::new(settings, profile, registry, seed);
        Controller { core, script, began: None, next: 0, joint: None }
    }

    fn perform(&mut self, now: Now, out: &mut Outbox, act: &Act) {
        // One that cannot be done is one that the flow will miss.
        match (act, self.joint) {
            (Act::Connect { first, second, flow }, _) => {
                let wish = Wish {
                    first: first.clone(),
                    second: second.clone(),
                    flow: *flow,
                    keep: self.script.keep,
                    ..Wish::default()
                };
                self.joint = self.core.connect(now, out, &wish).ok();
            }
            (Act::Replace { who, uri, flow }, Some(joint)) => {
                let _ = self.core.replace(now, out, joint, *who, uri, *flow);
            }
            (Act::Announce { who, uri }, Some(joint)) => {
                let _ = self.core.announce(now, out, joint, *who, uri);
            }
            (Act::End, Some(joint)) => {
                let _ = self.core.end(now, out, joint);
            }
            (_, None) => {}
        }
    }
}

impl Machine for Controller {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        let began = *self.began.get_or_insert(now.at);
        self.core.handle(now, input, out);
        while let Some((after, act)) = self.script.acts.get(self.next).cloned() {
            if began + after > now.at {
                break;
            }
            self.next += 1;
            self.perform(now, out, &act);
        }
        while self.core.next_news().is_some() {}
    }

    fn deadline(&self) -> Option<Instant> {
        let act = self.script.acts.get(self.next);
        let act = act.and_then(|(after, _)| Some(self.began? + *after));
        [self.core.deadline(), act].into_iter().flatten().min()
    }

    fn is_drained(&self) -> bool {
        self.core.is_drained()
    }
}
