//! The machine that the driver runs: the server's, with an ear for other threads and, when it is
//! wanted, a copy of what passes.
//!
//! Other threads (the HTTP port, a reload) look into the machine by sending it work to do between
//! two inputs. The queue is bounded; a message never waits for more than what is in it.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use towel_core::io::{
    Command, ConnectionId, Flow, Input, Instant, Listener, Machine, Now, Outbox, Output, Transport,
};
use towel_sim::text::Text;

use crate::control::locked;
use crate::failure::{Kept, Mend};
use crate::http::Gone;
use crate::trace::{Passed, Ring};

/// Jobs that may wait.
const WAITING: usize = 64;
/// How long an answer is waited for by the thread that asks.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an unfinished message on one connection that the trace keeps.
const PARTIAL: usize = 128 * 1024;

/// Work to be done on the thread of the machine.
pub type Job<M> = Box<dyn FnOnce(&mut Element<M>, Now, &mut Outbox) + Send>;

/// Sends jobs to an element.
pub struct Jobs<M> {
    sender: SyncSender<Job<M>>,
    waiting: Arc<AtomicBool>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl<M> Clone for Jobs<M> {
    fn clone(&self) -> Self {
        Jobs {
            sender: self.sender.clone(),
            waiting: Arc::clone(&self.waiting),
            wake: Arc::clone(&self.wake),
        }
    }
}

impl<M> std::fmt::Debug for Jobs<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

impl<M: 'static> Jobs<M> {
    /// Has work done on the machine's thread and waits for what comes of it.
    pub fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Element<M>, Now, &mut Outbox) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (tell, told) = sync_channel(1);
        let job: Job<M> = Box::new(move |element, now, out| {
            // Who asked may have lost patience.
            let _ = tell.send(work(element, now, out));
        });
        self.sender.try_send(job).map_err(|_| Gone)?;
        self.waiting.store(true, Ordering::Release);
        (self.wake)();
        match told.recv_timeout(PATIENCE) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(Gone),
        }
    }
}

/// A machine with an ear.
pub struct Element<M> {
    machine: M,
    jobs: Receiver<Job<M>>,
    waiting: Arc<AtomicBool>,
    trace: Option<Tracer>,
    /// The listeners, for the trace and for a machine that takes the place of this one.
    listeners: Vec<Listener>,
    /// What is done if the machine fails.
    mend: Option<Mend<M>>,
    /// Whether it was told to end what there is.
    draining: bool,
    /// Whether somebody else takes what is new.
    handed_over: bool,
}

impl<M> std::fmt::Debug for Element<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Element").finish_non_exhaustive()
    }
}

/// What is kept while messages are kept.
#[derive(Debug)]
struct Tracer {
    /// Of all shards.
    ring: Arc<Mutex<Ring>>,
    partial: HashMap<ConnectionId, Vec<u8>>,
}

impl<M: Machine + 'static> Element<M> {
    /// Puts an ear to a machine. `wake` makes the driver come round with a command.
    pub fn new(machine: M, wake: impl Fn() + Send + Sync + 'static) -> (Element<M>, Jobs<M>) {
        let (sender, jobs) = sync_channel(WAITING);
        let waiting = Arc::new(AtomicBool::new(false));
        let element = Element {
            machine,
            jobs,
            waiting: Arc::clone(&waiting),
            trace: None,
            listeners: Vec::new(),
            mend: None,
            draining: false,
            handed_over: false,
        };
        (element, Jobs { sender, waiting, wake: Arc::new(wake) })
    }

    /// The machine.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// Has another machine take the place of this one if it fails.
    pub fn set_mend(&mut self, mend: Mend<M>) {
        self.mend = Some(mend);
    }

    /// The machine has failed: the input is kept, and another machine takes its place. Where that cannot be,
    /// or has been too often, the failure goes on.
    fn mend(
        &mut self,
        now: Now,
        out: &mut Outbox,
        before: usize,
        input: &Kept<'_>,
        why: Box<dyn Any + Send>,
    ) {
        // What it wanted before it failed may be the half of something.
        out.outputs.truncate(before);
        let Some(mend) = self.mend.as_mut().filter(|_| !self.handed_over) else {
            resume_unwind(why);
        };
        mend.note(out, input, &*why);
        if !mend.may(now) {
            resume_unwind(why);
        }
        let (listeners, draining, failed) = (&self.listeners, self.draining, &self.machine);
        let Some(next) = (mend.anew)(now, out, failed, listeners) else { resume_unwind(why) };
        let failed = std::mem::replace(&mut self.machine, next);
        // Whatever is wrong in it may be met once more when it is taken apart.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(failed)));
        if draining {
            self.machine.handle(now, Input::Command(Command::Drain), out);
        }
    }

    /// Begins or ends to keep messages; says whether they were kept.
    pub fn set_trace(&mut self, ring: Option<Arc<Mutex<Ring>>>) -> bool {
        let was = self.trace.is_some();
        match ring {
            None => self.trace = None,
            Some(ring) if !was => self.trace = Some(Tracer { ring, partial: HashMap::new() }),
            Some(_) => {}
        }
        was
    }

    /// The messages that are kept.
    pub fn ring(&self) -> Option<&Arc<Mutex<Ring>>> {
        self.trace.as_ref().map(|t| &t.ring)
    }

    fn run_jobs(&mut self, now: Now, out: &mut Outbox) {
        self.waiting.store(false, Ordering::Release);
        while let Ok(job) = self.jobs.try_recv() {
            let before = out.outputs.len();
            let done = catch_unwind(AssertUnwindSafe(|| job(self, now, out)));
            if let Err(why) = done {
                self.mend(now, out, before, &Kept::other("a job"), why);
            }
        }
    }

    /// Keeps the message, or the piece of one, that comes in.
    fn note_input(&mut self, input: &Input<'_>) {
        let Some(tracer) = &mut self.trace else { return };
        match *input {
            Input::Datagram { listener, remote, bytes } => {
                let known = self.listeners.iter().find(|known| known.id == listener);
                let transport = known.map_or(Transport::Udp, |known| known.transport);
                locked(&tracer.ring).push(passed(true, transport, remote, bytes));
            }
            Input::Stream { connection, bytes } => {
                let Some(flow) = self.machine.flow_of(connection) else { return };
                let buffer = tracer.partial.entry(connection).or_default();
                buffer.extend_from_slice(bytes);
                loop {
                    let blank = buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                    buffer.drain(..blank);
                    let Some((_, size)) = Text::read(buffer, true) else { break };
                    let message: Vec<u8> = buffer.drain(..size).collect();
                    let message = passed(true, flow.transport, flow.remote, &message);
                    locked(&tracer.ring).push(message);
                }
                if buffer.is_empty() || buffer.len() > PARTIAL {
                    tracer.partial.remove(&connection);
                }
            }
            _ => {}
        }
    }

    fn note_outputs(&mut self, out: &Outbox, from: usize) {
        let Some(tracer) = &mut self.trace else { return };
        for output in out.outputs.iter().skip(from) {
            if let Output::Transmit { flow, bytes } = output {
                let message = passed(false, flow.transport, flow.remote, out.bytes(bytes));
                locked(&tracer.ring).push(message);
            }
        }
    }
}

fn passed(inward: bool, transport: Transport, peer: std::net::SocketAddr, bytes: &[u8]) -> Passed {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut bytes = bytes.to_vec();
    crate::mask::mask(&mut bytes);
    Passed {
        at: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
        inward,
        transport: transport.via_token(),
        peer,
        bytes,
    }
}

impl<M: Machine + 'static> Machine for Element<M> {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        if self.waiting.load(Ordering::Relaxed) {
            self.run_jobs(now, out);
        }
        match &input {
            Input::Closed { connection, .. } => {
                if let Some(tracer) = &mut self.trace {
                    tracer.partial.remove(connection);
                }
            }
            Input::Listening(listener) => {
                self.listeners.retain(|known| known.id != listener.id);
                self.listeners.push(listener.clone());
            }
            Input::ListenerGone(id) => self.listeners.retain(|known| known.id != *id),
            Input::Command(Command::Drain) => self.draining = true,
            Input::Command(Command::HandOver) => self.handed_over = true,
            // The driver's way to say that somebody has rung: there is nothing in it.
            Input::Command(Command::Load(records)) if records.is_empty() => return,
            _ => {}
        }
        let from = out.outputs.len();
        if self.trace.is_some() {
            self.note_input(&input);
        }
        let kept = Kept::of(&input);
        let done = catch_unwind(AssertUnwindSafe(|| self.machine.handle(now, input, out)));
        if let Err(why) = done {
            self.mend(now, out, from, &kept, why);
        }
        if self.trace.is_some() {
            self.note_outputs(out, from);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    fn is_drained(&self) -> bool {
        self.machine.is_drained()
    }

    fn is_quiet(&self) -> bool {
        self.machine.is_quiet()
    }

    fn flow_of(&self, connection: ConnectionId) -> Option<Flow> {
        self.machine.flow_of(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Wanted;
    use towel_core::io::ListenerId;

    /// Sends back what it gets.
    struct Echo(usize, Option<Flow>);

    impl Machine for Echo {
        fn handle(&mut self, _: Now, input: Input<'_>, out: &mut Outbox) {
            self.0 += 1;
            let remote = "192.0.2.1:5060".parse().unwrap();
            let flow = Flow {
                transport: Transport::Udp,
                listener: ListenerId(0),
                local: remote,
                remote,
                connection: None,
            };
            match input {
                Input::Opened { flow, .. } => self.1 = Some(flow),
                Input::Datagram { bytes, .. } | Input::Stream { bytes, .. } => {
                    out.transmit(flow, bytes);
                }
                _ => {}
            }
        }
        fn flow_of(&self, connection: ConnectionId) -> Option<Flow> {
            self.1.filter(|flow| flow.connection == Some(connection))
        }

        fn deadline(&self) -> Option<Instant> {
            None
        }
    }

    #[test]
    fn jobs_run_between_inputs() {
        let (mut element, jobs) = Element::new(Echo(0, None), || {});
        let asking = std::thread::spawn(move || jobs.ask(|element, _, _| element.machine().0));
        let mut out = Outbox::new();
        while !asking.is_finished() {
            let wake = Input::Command(Command::Load(Vec::new()));
            element.handle(Now::default(), wake, &mut out);
            std::thread::yield_now();
        }
        assert_eq!(asking.join().unwrap(), Ok(0));
        drop(element);
    }

    #[test]
    fn a_machine_that_is_gone_is_told() {
        let (element, jobs) = Element::new(Echo(0, None), || {});
        drop(element);
        assert_eq!(jobs.ask(|_, _, _| ()), Err(Gone));
    }

    #[test]
    fn streams_are_traced_by_message() {
        let (mut element, _jobs) = Element::new(Echo(0, None), || {});
        let ring = Arc::new(Mutex::new(Ring::new(10, 1 << 20)));
        assert!(!element.set_trace(Some(ring)));
        let mut out = Outbox::new();
        let remote = "192.0.2.9:4000".parse().unwrap();
        let connection = ConnectionId(3);
        let flow = Flow {
            transport: Transport::Tcp,
            listener: ListenerId(1),
            local: remote,
            remote,
            connection: Some(connection),
        };
        let opened = Input::Opened { connection, flow, identities: Vec::new() };
        element.handle(Now::default(), opened, &mut out);
        for bytes in
            [&b"OPTIONS sip:x SIP/2.0\r\nCall-ID: a\r\n"[..], b"Content-Length: 0\r\n\r\n\r\n"]
        {
            element.handle(Now::default(), Input::Stream { connection, bytes }, &mut out);
        }
        let kept = locked(element.ring().unwrap()).select(&Wanted::All);
        let inward: Vec<_> = kept.iter().filter(|m| m.inward).collect();
        assert_eq!(inward.len(), 1);
        assert_eq!((inward[0].transport, inward[0].peer), ("TCP", remote));
        assert!(inward[0].bytes.ends_with(b"\r\n\r\n"));
        assert!(element.set_trace(None));
        assert!(element.ring().is_none());
    }
}
