//! What an extension declares and where it acts (RFC 4485).
//!
//! An extension is one `const` value of [`Extension`]: all that RFC 4485 asks its author to say,
//! and a [`Behaviour`] that acts at named stages. A [`Registry`] puts extensions together for an
//! element. The element wakes them with each message ([`Registry::woken`]), calls the stages,
//! and takes `Allow`, `Supported`, `Accept` and the answers 405, 415, 420 and 489 from it. It
//! never names an extension.
//!
//! [`check`] holds declarations against RFC 4485; [`audit`] holds messages against the rows of
//! Tables 2 and 3 that the declarations carry.

mod answers;
pub mod audit;
mod behaviour;
mod bodies;
pub mod check;
mod contexts;
mod declaration;
mod registry;
mod roles;
mod sessions;
pub mod state;
mod table;
#[cfg(test)]
mod tests;

pub use behaviour::{
    Behaviour, Body, Element, Env, Fields, NOTHING, Nothing, Reply, Stage, Verdict,
};
pub use contexts::{
    CancelCause, Candidate, Contacting, Directives, Given, Manner, ProxyCancel, ProxyForward,
    ProxyPreprocess, ProxyReceived, ProxyReply, ProxyResponse, ProxyTargets, ProxyValidate,
    Redirection, Register, Registered, UacRequest, UacResponse, UasRequest, UasResponse,
};
pub use declaration::{
    Acts, BodyType, Category, DialogEffect, DialogUse, EventPackage, Extension, FieldDeclaration,
    FieldParameter, FlowKind, FlowReference, Interactions, MethodDeclaration, OptionTag, Proof,
    ResponseCode, Rule, Section, Setting, Shape, UriParameter, UriSchemes, Wake, WarnCode,
};
pub use registry::{Configure, Configured, MOST_EXTENSIONS, Registry, SettingFault, Woken};
pub use roles::{Role, Roles};
pub use sessions::{
    Carry, Delivery, DialogEnded, DialogId, DialogTimer, InDialog, OtherDialog, Outline, Relation,
    Standing, Task, Tasks,
};
pub use state::{Durable, Slots};
pub use table::{COLUMNS, Cell, PROVISIONAL, REDIRECTION, Row, SUCCESS, Where};
