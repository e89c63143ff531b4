//! The form in which the machines of this module are written: a table of rows, from which come the
//! step, the refusals and the matrix that a snapshot keeps.

/// Declares a machine. In a state, on an event, it goes to a state and does these actions; what has
/// no row is refused.
macro_rules! states {
    (
        $(#[$doc:meta])*
        $name:ident {
            states: $($state:ident)+;
            events: $($event:ident)+;
            actions: $($action:ident)+;
            $( $from:ident + $on:ident => $to:ident [ $($do:ident),* ]; )+
        }
    ) => {
        $(#[$doc])*
        #[allow(missing_docs)]
        pub mod $name {
            /// The states.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum State { $($state),+ }

            /// The events.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum Event { $($event),+ }

            /// What is done on the way.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum Action { $($action),+ }

            /// All states, in the table's order.
            pub const STATES: &[State] = &[$(State::$state),+];
            /// All events, in the table's order.
            pub const EVENTS: &[Event] = &[$(Event::$event),+];

            /// What an event does in a state; `None` refuses it.
            pub const fn step(state: State, event: Event) -> Option<(State, &'static [Action])> {
                match (state, event) {
                    $( (State::$from, Event::$on) => Some((State::$to, &[$(Action::$do),*])), )+
                    #[allow(unreachable_patterns)]
                    _ => None,
                }
            }

            /// Every state with every event, refusals too.
            pub fn matrix() -> String {
                use std::fmt::Write as _;
                let mut text = String::from(concat!(stringify!($name), "\n"));
                for state in STATES {
                    let _ = writeln!(text, "\n{state:?}");
                    for event in EVENTS {
                        let _ = match step(*state, *event) {
                            Some((to, actions)) => {
                                let done: Vec<String> =
                                    actions.iter().map(|action| format!("{action:?}")).collect();
                                let done = if done.is_empty() { "-".into() } else { done.join(", ") };
                                writeln!(text, "  {event:?} -> {to:?}: {done}")
                            }
                            None => writeln!(text, "  {event:?} refused"),
                        };
                    }
                }
                text
            }
        }
    };
}
pub(crate) use states;
