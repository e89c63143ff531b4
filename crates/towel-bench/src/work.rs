//! The units of work: one registration, one call, one request.

use towel_core::auth::client::Session;
use towel_core::server::Endpoint;

use crate::peer::{self, CALLEE, CALLER, Dialog};
use crate::rig::Rig;

/// What is counted, with the name that its budget has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A binding refreshed, without credentials.
    Refresh,
    /// A new binding.
    Register,
    /// REGISTER, 401, REGISTER with credentials, 200.
    DigestPair,
    /// A refresh with a nonce that is known.
    DigestRefresh,
    /// INVITE 180 200 ACK BYE 200, to a registered user, record-routed.
    Call,
    /// OPTIONS to a registered user, and its answer.
    Options,
    /// MESSAGE to a registered user, and its answer.
    Message,
    /// OPTIONS to the server itself.
    Ping,
    /// An INVITE that comes again while it rings.
    Repeat,
    /// A call, and the expiry of all that it left.
    CallAndExpiry,
}

impl Work {
    /// All of them.
    pub const ALL: [Work; 10] = [
        Work::Refresh,
        Work::Register,
        Work::DigestPair,
        Work::DigestRefresh,
        Work::Call,
        Work::Options,
        Work::Message,
        Work::Ping,
        Work::Repeat,
        Work::CallAndExpiry,
    ];

    /// Its name in the budgets and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Work::Refresh => "refresh",
            Work::Register => "register",
            Work::DigestPair => "digest-pair",
            Work::DigestRefresh => "digest-refresh",
            Work::Call => "call",
            Work::Options => "options",
            Work::Message => "message",
            Work::Ping => "ping",
            Work::Repeat => "repeat",
            Work::CallAndExpiry => "call-and-expiry",
        }
    }
}

/// Users that are registered before anything is counted.
const USERS: usize = 1000;

/// A server that is ready for a kind of work.
#[derive(Debug)]
pub struct Bench {
    rig: Rig,
    work: Work,
    next: u32,
    /// How many users there are, and the number of the first.
    users: usize,
    first: usize,
    bytes: Vec<u8>,
    heard: Vec<u8>,
    sessions: Vec<Session>,
}

impl Bench {
    /// Makes the server and registers its users.
    ///
    /// # Errors
    /// If the server does not do what it is asked to.
    pub fn new(work: Work) -> Result<Bench, String> {
        let digest = matches!(work, Work::DigestPair | Work::DigestRefresh);
        let toml = format!(
            "domains = [\"{}\"]\ndurability = \"memory\"\n[auth]\nregister = {digest}\n\
             calls = false\nalgorithms = [\"MD5\"]\n[log]\nlevel = \"warn\"\n",
            crate::rig::DOMAIN
        );
        let mut rig = Rig::new(&toml)?;
        if digest {
            rig.users(USERS);
        }
        let mut bench = Bench::on(rig, work, USERS, 0);
        for user in 0..USERS {
            if digest {
                let session = bench.digest(user, 1)?;
                bench.sessions.push(session);
            } else {
                peer::register(&mut bench.bytes, user, 1, None);
                bench.rig.send(CALLEE, &bench.bytes);
                bench.expect(CALLEE, &[200])?;
            }
        }
        Ok(bench)
    }

    /// Work on a server that has these users already. With a `first` of theirs they are taken not
    /// in order but in any.
    pub fn on(rig: Rig, work: Work, users: usize, first: usize) -> Bench {
        let (bytes, heard, sessions) = (Vec::new(), Vec::new(), Vec::new());
        Bench { rig, work, next: first as u32, users, first, bytes, heard, sessions }
    }

    /// Goes on with other work.
    pub fn set_work(&mut self, work: Work) {
        self.work = work;
    }

    /// The server alone.
    ///
    /// # Errors
    /// If it is not this work's own.
    pub fn into_server(self) -> Result<Endpoint, String> {
        self.rig.into_server()
    }

    /// Passes over so many numbers, so that two at one server have none in common.
    pub fn skip(&mut self, numbers: u32) {
        self.next += numbers;
    }

    /// Whose turn it is.
    fn user(&self) -> usize {
        let number = self.next as usize;
        if self.first == 0 {
            return number % self.users;
        }
        // Multiplied by an odd number, the bits above depend on all those below.
        let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        self.first + mixed as usize % self.users
    }

    /// Brings up a call that nobody ends.
    ///
    /// # Errors
    /// If the server does something else.
    pub fn bring_up(&mut self) -> Result<(), String> {
        self.next += 1;
        self.begin_call(self.next, self.user()).map(|_| ())
    }

    /// The server.
    pub fn rig(&mut self) -> &mut Rig {
        &mut self.rig
    }

    /// Has time pass until all that was begun is over.
    pub fn settle(&mut self) {
        self.rig.expire();
    }

    /// Does one unit of the work and sees to it that it was done.
    ///
    /// # Errors
    /// If the server did something else.
    pub fn unit(&mut self) -> Result<(), String> {
        self.next += 1;
        let number = self.next;
        let user = self.user();
        match self.work {
            Work::Refresh => self.register(user, 1 + number),
            Work::Register => self.register(USERS + number as usize, 1),
            Work::DigestPair => self.digest(user, 1 + 2 * number).map(|_| ()),
            Work::DigestRefresh => {
                let session = self.sessions.get_mut(user);
                peer::register(&mut self.bytes, user, 10 + number, session);
                self.rig.send(CALLEE, &self.bytes);
                self.expect(CALLEE, &[200])
            }
            Work::Call | Work::CallAndExpiry => self.call(number, user),
            Work::Repeat => {
                if number == 1 {
                    peer::invite(&mut self.heard, 1, user);
                    let invite = self.heard.clone();
                    self.rig.send(CALLER, &invite);
                    let invite = self.forwarded()?;
                    peer::answer(&mut self.bytes, &invite, 180, 1, user);
                    self.rig.send(CALLEE, &self.bytes);
                    peer::invite(&mut self.bytes, 1, user);
                }
                self.rig.send(CALLER, &self.bytes);
                match self.rig.sent_to(CALLER).map(peer::status).collect::<Vec<_>>()[..] {
                    [180] => Ok(()),
                    _ => Err("the 180 was expected again".into()),
                }
            }
            Work::Options => self.single("OPTIONS", number, user),
            Work::Message => self.single("MESSAGE", number, user),
            Work::Ping => {
                peer::single(&mut self.bytes, "OPTIONS", number, 0);
                let text = String::from_utf8_lossy(&self.bytes).replace("sip:u0@", "sip:");
                self.rig.send(CALLER, text.as_bytes());
                self.expect(CALLER, &[200])
            }
        }
    }

    fn register(&mut self, user: usize, cseq: u32) -> Result<(), String> {
        peer::register(&mut self.bytes, user, cseq, None);
        self.rig.send(CALLEE, &self.bytes);
        self.expect(CALLEE, &[200])
    }

    fn digest(&mut self, user: usize, cseq: u32) -> Result<Session, String> {
        peer::register(&mut self.bytes, user, cseq, None);
        self.rig.send(CALLEE, &self.bytes);
        self.expect(CALLEE, &[401])?;
        let mut session = peer::challenged(&self.heard, user).ok_or("there is no challenge")?;
        peer::register(&mut self.bytes, user, cseq + 1, Some(&mut session));
        self.rig.send(CALLEE, &self.bytes);
        self.expect(CALLEE, &[200])?;
        Ok(session)
    }

    fn begin_call(&mut self, call: u32, user: usize) -> Result<Dialog, String> {
        peer::invite(&mut self.bytes, call, user);
        self.rig.send(CALLER, &self.bytes);
        let invite = self.forwarded()?;
        peer::answer(&mut self.bytes, &invite, 180, call, user);
        self.rig.send(CALLEE, &self.bytes);
        self.expect(CALLER, &[180])?;
        peer::answer(&mut self.bytes, &invite, 200, call, user);
        self.rig.send(CALLEE, &self.bytes);
        self.expect(CALLER, &[200])?;
        let dialog = Dialog::of(&self.heard).ok_or("the 200 makes no dialog")?;
        peer::in_dialog(&mut self.bytes, call, "ACK", 1, &dialog);
        self.rig.send(CALLER, &self.bytes);
        self.forwarded()?;
        Ok(dialog)
    }

    fn call(&mut self, call: u32, user: usize) -> Result<(), String> {
        let dialog = self.begin_call(call, user)?;
        peer::in_dialog(&mut self.bytes, call, "BYE", 2, &dialog);
        self.rig.send(CALLER, &self.bytes);
        let bye = self.forwarded()?;
        peer::answer(&mut self.bytes, &bye, 200, call, user);
        self.rig.send(CALLEE, &self.bytes);
        self.expect(CALLER, &[200])
    }

    fn single(&mut self, method: &str, number: u32, user: usize) -> Result<(), String> {
        peer::single(&mut self.bytes, method, number, user);
        self.rig.send(CALLER, &self.bytes);
        let request = self.forwarded()?;
        peer::answer(&mut self.bytes, &request, 200, number, user);
        self.rig.send(CALLEE, &self.bytes);
        self.expect(CALLER, &[200])
    }

    /// Keeps the response that went to a port, which must be the one expected.
    fn expect(&mut self, port: u16, statuses: &[u16]) -> Result<(), String> {
        let Bench { rig, heard, .. } = self;
        let mut got = rig.sent_to(port);
        for status in statuses {
            let response = got.next().ok_or_else(|| format!("no {status} came"))?;
            if peer::status(response) != *status {
                let text = String::from_utf8_lossy(response);
                return Err(format!("{status} was expected, but this came:\n{text}"));
            }
            heard.clear();
            heard.extend_from_slice(response);
        }
        if got.next().is_some() { Err("more came than was expected".into()) } else { Ok(()) }
    }

    fn forwarded(&self) -> Result<Vec<u8>, String> {
        let mut got = self.rig.sent_to(CALLEE);
        let first = got.next().ok_or("nothing was forwarded")?.to_vec();
        if got.next().is_some() { Err("more was forwarded than one".into()) } else { Ok(first) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_is_done_and_leaves_nothing() {
        for work in Work::ALL {
            let mut bench = Bench::new(work).unwrap();
            for _ in 0..20 {
                bench.unit().unwrap_or_else(|why| panic!("{}: {why}", work.name()));
            }
            assert!(bench.rig().drains(), "{} leaves something", work.name());
        }
    }
}
