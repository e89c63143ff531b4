//! How far an entry is: what its module does, and which flows prove it.

use towel_core::contract::{FlowKind, FlowReference, Role};

use crate::Entry;

/// Tells whether a flow of this name exists and passes. Whoever can run flows answers.
pub type Proven<'a> = &'a dyn Fn(&str) -> bool;

/// How far a role of an entry, or the entry, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Progress {
    /// It acts, and flows prove it.
    Works,
    /// It acts in part, or nothing proves it yet.
    Partial,
    /// It is listed and not built.
    NotYet,
}

impl Progress {
    /// The word used in listings and in JSON.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Partial => "partial",
            Self::NotYet => "not yet",
        }
    }
}

impl Entry {
    /// The flows that the entry's declaration names.
    pub fn flows(&self) -> &'static [FlowReference] {
        self.extension.map_or(&[], |extension| extension.flows)
    }

    /// How far one of the entry's roles is: it works if we play it in full and a flow in which
    /// we play it passes.
    pub fn role(&self, role: Role, proven: Proven<'_>) -> Progress {
        let Some(extension) = self.extension else { return Progress::NotYet };
        let shown = || self.flows().iter().any(|flow| flow.roles.has(role) && proven(flow.name));
        if extension.implements.has(role) && shown() {
            Progress::Works
        } else if extension.implements.has(role) || extension.partly.has(role) {
            Progress::Partial
        } else {
            Progress::NotYet
        }
    }

    /// How far the entry is: it works if every role that the Guide's index names works, and both
    /// a common case and a failure are shown.
    pub fn status(&self, proven: Proven<'_>) -> Progress {
        let Some(_) = self.extension else { return Progress::NotYet };
        let shown =
            |kind: FlowKind| self.flows().iter().any(|flow| flow.kind == kind && proven(flow.name));
        let roles: Vec<_> = self.roles.iter().map(|role| self.role(role, proven)).collect();
        let whole = roles.iter().all(|one| *one == Progress::Works);
        if whole && shown(FlowKind::Common) && shown(FlowKind::Failure) {
            Progress::Works
        } else if roles.iter().all(|one| *one == Progress::NotYet) {
            Progress::NotYet
        } else {
            Progress::Partial
        }
    }
}
