//! State machines as tables.
//!
//! A table's rows say: in this state, on this event, if this guard holds, go to that state and do
//! these actions. The macro makes of them the step function, in which everything that has no row
//! is refused, and a list of the rows from which the whole matrix and the diagram are drawn.

use std::fmt::Write;

/// A timer by its letter in RFC 3261's table 4 and RFC 6026, and two that those documents describe
/// without a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Timer {
    A,
    B,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
    K,
    L,
    M,
    /// When a 100 is to go out by itself: 200 ms for INVITE (17.2.1), and for the rest when a
    /// client's Timer E would have come to T2 (RFC 4320 section 4.1).
    Trying,
    /// How long a cancelled INVITE waits for its final response: 64*T1 (9.1).
    Cancelled,
    /// How long a non-INVITE request may go unanswered: 64*T1, after which nobody waits for the
    /// response any more and none is sent (RFC 4320 section 4.2).
    Unanswered,
}

impl Timer {
    /// Whether it is one of those that send again; the others end something. A transaction has at
    /// most one of each kind set at any time.
    pub fn repeats(self) -> bool {
        matches!(self, Timer::A | Timer::E | Timer::G | Timer::Trying)
    }

    /// Whether it only has a finished transaction forgotten: then nobody minds a moment more, and
    /// many can go at once.
    pub fn forgets(self) -> bool {
        matches!(self, Timer::D | Timer::I | Timer::J | Timer::K | Timer::L | Timer::M)
    }
}

/// What a transition does, in the order of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends the request, or sends it again.
    SendRequest,
    /// Sends the ACK for a non-2xx final response, or sends it again (17.1.1.3).
    SendAck,
    /// Sends the response that the transaction user has given, and keeps it.
    SendResponse,
    /// Sends the last response again, if there is one.
    Repeat,
    /// Makes and sends a 100.
    SendTrying,
    /// Tells the transaction user what has come.
    Tell,
    /// Tells the transaction user that no final response came.
    TellTimeout,
    /// Tells the transaction user that the transport failed.
    TellTransport,
    /// Tells the transaction user that no ACK came.
    TellNoAck,
    /// Sets a timer.
    Set(Timer),
    /// Clears a timer.
    Clear(Timer),
}

/// What a guard may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guards {
    /// The transport takes care of loss.
    pub reliable: bool,
}

/// One row of a table, for printing.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The state that it starts in.
    pub from: &'static str,
    /// The event.
    pub on: &'static str,
    /// The guard, or nothing.
    pub guard: &'static str,
    /// The state that it ends in.
    pub to: &'static str,
    /// What is done.
    pub actions: &'static [Action],
}

/// A table for printing.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its states, the first one first.
    pub states: &'static [&'static str],
    /// Its events.
    pub events: &'static [&'static str],
    /// Its rows.
    pub rows: &'static [Row],
}

impl Row {
    fn label(&self) -> String {
        let mut text = String::new();
        for action in self.actions {
            if !text.is_empty() {
                text.push_str(", ");
            }
            let _ = match action {
                Action::Set(timer) => write!(text, "set {timer:?}"),
                Action::Clear(timer) => write!(text, "clear {timer:?}"),
                other => write!(text, "{other:?}"),
            };
        }
        if text.is_empty() { "-".into() } else { text }
    }
}

impl Table {
    /// Every state with every event, refusals too: what the snapshot holds.
    pub fn matrix(&self) -> String {
        let mut text = format!("{}\n", self.name);
        for state in self.states {
            let _ = writeln!(text, "\n{state}");
            for event in self.events {
                let mut any = false;
                for row in self.rows.iter().filter(|row| row.from == *state && row.on == *event) {
                    any = true;
                    let guard = if row.guard.is_empty() {
                        String::new()
                    } else {
                        format!(" [{}]", row.guard)
                    };
                    let _ = writeln!(text, "  {event}{guard} -> {}: {}", row.to, row.label());
                }
                if !any {
                    let _ = writeln!(text, "  {event} refused");
                }
            }
        }
        text
    }

    /// The diagram, in the language of Graphviz.
    pub fn dot(&self) -> String {
        let mut text =
            format!("digraph \"{}\" {{\n  node [shape=box, style=rounded];\n", self.name);
        for state in self.states {
            let _ = writeln!(text, "  {state};");
        }
        for row in self.rows {
            let guard =
                if row.guard.is_empty() { String::new() } else { format!(" [{}]", row.guard) };
            let _ = writeln!(
                text,
                "  {} -> {} [label=\"{}{guard}\\n{}\"];",
                row.from,
                row.to,
                row.on,
                row.label()
            );
        }
        text.push_str("}\n");
        text
    }
}

/// Declares a machine; see the tables in `machines.rs`.
macro_rules! machine {
    (
        $(#[$doc:meta])*
        $name:ident {
            states: $($state:ident)+;
            events: $($event:ident)+;
            $( $from:ident + $on:ident $(if $guard:ident)? $(unless $not:ident)? => $to:ident [ $($action:expr),* ]; )+
        }
    ) => {
        $(#[$doc])*
        #[allow(missing_docs)]
        pub mod $name {
            #[allow(unused_imports)]
            use crate::transaction::table::{Action, Action::*, Guards, Row, Table, Timer::*};

            /// The states.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum State { $($state),+ }

            /// The events.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum Event { $($event),+ }

            /// All events, in the table's order.
            pub const EVENTS: &[Event] = &[$(Event::$event),+];
            /// All states, in the table's order.
            pub const STATES: &[State] = &[$(State::$state),+];

            /// The table for people.
            pub const TABLE: Table = Table {
                name: stringify!($name),
                states: &[$(stringify!($state)),+],
                events: &[$(stringify!($event)),+],
                rows: &[$(Row {
                    from: stringify!($from),
                    on: stringify!($on),
                    guard: concat!("" $(, stringify!($guard))? $(, "not ", stringify!($not))?),
                    to: stringify!($to),
                    actions: &[$($action),*],
                }),+],
            };

            /// What an event does in a state; `None` refuses it.
            #[allow(unused_variables)]
            pub fn step(state: State, event: Event, guards: Guards) -> Option<(State, &'static [Action])> {
                match (state, event) {
                    $( (State::$from, Event::$on) if true $(&& guards.$guard)? $(&& !guards.$not)? =>
                        Some((State::$to, &[$($action),*])), )+
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use machine;
