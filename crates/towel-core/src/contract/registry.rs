//! The extensions of one element put together: what is known, what is called and when.
//!
//! Assembled once, from a slice of declarations. For each message [`Registry::woken`] makes a
//! set of the extensions that the message calls, from the index's bits of present header fields
//! and a few comparisons; each stage then is an intersection of two sets. An extension whose
//! header fields, tags and methods are absent is in no set and costs nothing.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use towel_message::{Message, Name};

use super::behaviour::{Env, Stage, Verdict};
use super::contexts::{
    ProxyCancel, ProxyForward, ProxyPreprocess, ProxyReceived, ProxyReply, ProxyResponse,
    ProxyTargets, ProxyValidate, Register, Registered, UacRequest, UacResponse, UasRequest,
    UasResponse,
};
use super::declaration::{Extension, FieldDeclaration, MethodDeclaration, Wake};
use super::roles::Roles;
use super::sessions::{DialogEnded, DialogTimer};
use super::state;

/// What an extension's configuration became.
pub type Configured = Arc<dyn Any + Send + Sync>;

/// Reads an extension's table of the configuration: keys and values as text, a list as one entry
/// for each member. The error says what is wrong with which key.
pub type Configure = fn(&[(&str, &str)]) -> Result<Configured, SettingFault>;

/// A value that an extension's configuration cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingFault {
    /// The key.
    pub key: String,
    /// What is wrong with it.
    pub about: String,
}

impl SettingFault {
    /// A fault of one key.
    pub fn new(key: impl Into<String>, about: impl Into<String>) -> Self {
        Self { key: key.into(), about: about.into() }
    }
}

impl std::fmt::Display for SettingFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.about)
    }
}

/// How many extensions one registry can hold: the bits of a [`Woken`].
pub const MOST_EXTENSIONS: usize = 256;

/// A set of extensions of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Woken([u64; MOST_EXTENSIONS / 64]);

impl Woken {
    /// None.
    pub const NONE: Self = Self([0; MOST_EXTENSIONS / 64]);

    fn add(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    fn meet(&self, other: &Self) -> Self {
        let mut both = *self;
        for (word, mask) in both.0.iter_mut().zip(other.0) {
            *word &= mask;
        }
        both
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.0 == Self::NONE.0
    }

    /// The numbers of the extensions in it, ascending.
    fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                (word != 0).then(|| {
                    let bit = word.trailing_zeros() as usize;
                    word &= word - 1;
                    at * 64 + bit
                })
            })
        })
    }
}

/// Extensions by a name that is compared as bytes.
type ByText = Vec<(&'static str, Woken)>;

/// The extensions of one element.
pub struct Registry {
    extensions: Vec<&'static Extension>,
    configured: Vec<Option<Configured>>,
    roles: Roles,
    stages: [Woken; Stage::COUNT],
    always: Woken,
    /// Bits of the header fields that wake anything, and whom each wakes.
    waking: u128,
    by_field: Vec<(u128, Woken)>,
    /// Where the bit of each name stands among those.
    places: [u8; 128],
    by_other_field: ByText,
    by_option: ByText,
    by_method: ByText,
    by_package: ByText,
    by_uri_parameter: ByText,
    by_uri_scheme: ByText,
    by_status: Vec<(u16, Woken)>,
    by_kept: ByText,
    ids: HashMap<&'static str, usize>,
    pub(super) answers: super::answers::Computed,
}

fn add(list: &mut ByText, name: &'static str, index: usize) {
    if let Some((_, woken)) = list.iter_mut().find(|(have, _)| have.eq_ignore_ascii_case(name)) {
        woken.add(index);
        return;
    }
    let mut woken = Woken::NONE;
    woken.add(index);
    list.push((name, woken));
}

impl Registry {
    /// The extensions given, for an element that plays these roles. Those beyond
    /// [`MOST_EXTENSIONS`] are left out; the check of declarations says so.
    pub fn assemble(extensions: &[&'static Extension], roles: Roles) -> Self {
        let extensions: Vec<_> = extensions.iter().copied().take(MOST_EXTENSIONS).collect();
        let mut registry = Self {
            configured: vec![None; extensions.len()],
            roles,
            stages: [Woken::NONE; Stage::COUNT],
            always: Woken::NONE,
            waking: 0,
            by_field: Vec::new(),
            places: [0; 128],
            by_other_field: Vec::new(),
            by_option: Vec::new(),
            by_method: Vec::new(),
            by_package: Vec::new(),
            by_uri_parameter: Vec::new(),
            by_uri_scheme: Vec::new(),
            by_status: Vec::new(),
            by_kept: Vec::new(),
            ids: extensions.iter().enumerate().map(|(at, one)| (one.id, at)).collect(),
            answers: super::answers::Computed::of(&extensions, roles),
            extensions,
        };
        for (index, extension) in registry.extensions.clone().into_iter().enumerate() {
            for stage in extension.behaviour.stages() {
                if let Some(set) = registry.stages.get_mut(*stage as usize) {
                    set.add(index);
                }
            }
            for wake in extension.wake {
                registry.wake_by(index, wake);
            }
        }
        registry
    }

    fn wake_by(&mut self, index: usize, wake: &Wake) {
        match *wake {
            Wake::Always => self.always.add(index),
            Wake::Field(name) => match Name::from_bytes(name.as_bytes()) {
                Some(known) => {
                    self.waking |= known.bit();
                    let entry = self.by_field.iter_mut().find(|(bit, _)| *bit == known.bit());
                    match entry {
                        Some((_, woken)) => woken.add(index),
                        None => {
                            let mut woken = Woken::NONE;
                            woken.add(index);
                            if let Some(place) = self.places.get_mut(known as usize) {
                                *place = self.by_field.len() as u8;
                            }
                            self.by_field.push((known.bit(), woken));
                        }
                    }
                }
                None => add(&mut self.by_other_field, name, index),
            },
            Wake::OptionTag(tag) => add(&mut self.by_option, tag, index),
            Wake::Method(method) => add(&mut self.by_method, method, index),
            Wake::Package(package) => add(&mut self.by_package, package, index),
            Wake::UriParameter(name) => add(&mut self.by_uri_parameter, name, index),
            Wake::UriScheme(scheme) => add(&mut self.by_uri_scheme, scheme, index),
            Wake::Status(code) => {
                let mut woken = Woken::NONE;
                woken.add(index);
                self.by_status.push((code, woken));
            }
            Wake::Kept(id) => add(&mut self.by_kept, id, index),
        }
    }

    /// The extensions, in the order in which they are called.
    pub fn extensions(&self) -> impl Iterator<Item = &'static Extension> {
        self.extensions.iter().copied()
    }

    /// The roles that the element plays.
    pub fn roles(&self) -> Roles {
        self.roles
    }

    /// One extension, by id.
    pub fn extension(&self, id: &str) -> Option<&'static Extension> {
        self.extensions.get(*self.ids.get(id)?).copied()
    }

    /// The declaration of a header field, by name in any case.
    pub fn field(&self, name: &[u8]) -> Option<&'static FieldDeclaration> {
        self.extensions
            .iter()
            .flat_map(|extension| extension.fields)
            .find(|field| field.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The declaration of a method.
    pub fn method(&self, name: &[u8]) -> Option<&'static MethodDeclaration> {
        self.extensions
            .iter()
            .flat_map(|extension| extension.methods)
            .find(|method| method.name.as_bytes() == name)
    }

    /// Gives an extension its table of the configuration. Keys that it does not declare are
    /// refused, with the nearest declared one if there is any like it.
    pub fn configure(&mut self, id: &str, entries: &[(&str, &str)]) -> Result<(), SettingFault> {
        let Some(index) = self.ids.get(id).copied() else {
            return Err(SettingFault::new(id, "no such extension"));
        };
        let Some(extension) = self.extensions.get(index) else { return Ok(()) };
        for (key, _) in entries {
            if !extension.settings.iter().any(|setting| setting.key == *key) {
                let known: Vec<_> = extension.settings.iter().map(|setting| setting.key).collect();
                return Err(SettingFault::new(
                    *key,
                    format!("{id} knows no such key; it knows: {}", known.join(", ")),
                ));
            }
        }
        if let (Some(configure), Some(slot)) = (extension.configure, self.configured.get_mut(index))
        {
            *slot = Some(configure(entries)?);
        }
        Ok(())
    }

    /// The extensions that this message calls.
    pub fn woken(&self, message: &Message<'_>) -> Woken {
        let mut woken = self.always;
        let present = message.present();
        let mut called = present & self.waking;
        while called != 0 {
            let bit = called & called.wrapping_neg();
            called ^= bit;
            let at = self.places.get(bit.trailing_zeros() as usize).copied().unwrap_or_default();
            if let Some((_, set)) = self.by_field.get(usize::from(at)) {
                woken.join(set);
            }
        }
        if !self.by_other_field.is_empty() {
            for field in message.others() {
                join_named(&mut woken, &self.by_other_field, field.name_bytes);
            }
        }
        if !self.by_option.is_empty() {
            for name in [Name::Supported, Name::Require, Name::ProxyRequire] {
                if present & name.bit() != 0 {
                    for value in message.values(name) {
                        join_named(&mut woken, &self.by_option, value.bytes);
                    }
                }
            }
        }
        if !self.by_method.is_empty() {
            join_named(&mut woken, &self.by_method, message.method().as_bytes());
        }
        if !self.by_package.is_empty()
            && let Some(event) = message.first(Name::Event)
        {
            let package = event.value.split(|byte| *byte == b';').next().unwrap_or_default();
            join_named(&mut woken, &self.by_package, package.trim_ascii());
        }
        if message.is_request() {
            self.wake_by_uri(&mut woken, message.request_uri());
        } else {
            self.wake_by_status(&mut woken, message.status());
        }
        woken
    }

    fn wake_by_uri(&self, woken: &mut Woken, uri: &[u8]) {
        if !self.by_uri_scheme.is_empty()
            && let Some(colon) = uri.iter().position(|byte| *byte == b':')
        {
            let scheme = uri.get(..colon).unwrap_or_default();
            join_named(woken, &self.by_uri_scheme, scheme);
        }
        if !self.by_uri_parameter.is_empty() && uri.contains(&b';') {
            let parameters = uri.split(|byte| *byte == b'?').next().unwrap_or_default();
            for parameter in parameters.split(|byte| *byte == b';').skip(1) {
                let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
                join_named(woken, &self.by_uri_parameter, name);
            }
        }
    }

    fn wake_by_status(&self, woken: &mut Woken, status: u16) {
        for (code, set) in &self.by_status {
            if *code == status {
                woken.join(set);
            }
        }
    }

    /// Whether an extension takes requests to URIs of this scheme, so that RFC 3261 section
    /// 16.3 item 2 does not refuse them with a 416.
    pub fn knows_scheme(&self, scheme: &[u8]) -> bool {
        self.by_uri_scheme.iter().any(|(have, _)| have.as_bytes().eq_ignore_ascii_case(scheme))
    }

    /// The extensions of `woken` and those that a response with this status calls: for the
    /// stages that are about to send one.
    pub fn woken_for_reply(&self, mut woken: Woken, status: u16) -> Woken {
        self.wake_by_status(&mut woken, status);
        woken
    }

    /// The extensions that a message we are about to make ourselves calls: those that ask for
    /// every message and those that a method calls.
    pub fn woken_for_method(&self, method: &[u8]) -> Woken {
        let mut woken = self.always;
        join_named(&mut woken, &self.by_method, method);
        woken
    }

    /// The extensions that take part in requests of our own: what each adds depends on what it was
    /// told to add, and on no header field yet.
    pub fn woken_for_own_request(&self) -> Woken {
        self.stages.get(Stage::UacRequest as usize).copied().unwrap_or(Woken::NONE)
    }

    /// The extensions that attached something to a binding.
    fn woken_by_kept(&self, woken: &mut Woken, kept: &[u8]) {
        for (id, _) in state::entries(kept) {
            let index = std::str::from_utf8(id).ok().and_then(|id| self.ids.get(id));
            if let Some(index) = index {
                woken.add(*index);
            }
            join_named(woken, &self.by_kept, id);
        }
    }

    /// Appends the parameters that extensions list for a binding, each with its semicolon.
    pub fn list_binding(&self, kept: &[u8], parameters: &mut Vec<u8>) {
        for (id, value) in state::entries(kept) {
            let index = std::str::from_utf8(id).ok().and_then(|id| self.ids.get(id));
            if let Some(extension) = index.and_then(|index| self.extensions.get(*index)) {
                extension.behaviour.list_binding(value, parameters);
            }
        }
    }

    /// Whether any of these does something at a stage.
    pub fn acts(&self, stage: Stage, woken: Woken) -> bool {
        self.stages.get(stage as usize).is_some_and(|acting| !woken.meet(acting).is_empty())
    }

    /// A set with the extensions added that keep something with a transaction.
    pub fn woken_by_slots(&self, mut woken: Woken, slots: &state::Slots) -> Woken {
        for id in slots.owners() {
            if let Some(index) = self.ids.get(id) {
                woken.add(*index);
            }
        }
        woken
    }

    /// A set with the extension of this id added, if there is one.
    pub fn woken_with(&self, mut woken: Woken, id: Option<&str>) -> Woken {
        if let Some(index) = id.and_then(|id| self.ids.get(id)) {
            woken.add(*index);
        }
        woken
    }

    /// Calls the stage of one extension whose timer in a dialog is due.
    pub fn dialog_timer(&self, id: &str, env: Env<'_>, at: &mut DialogTimer<'_>) {
        let Some(index) = self.ids.get(id) else { return };
        let Some(extension) = self.extensions.get(*index) else { return };
        let settings = self.configured.get(*index).and_then(Option::as_deref);
        extension.behaviour.dialog_timer(&Env { settings, ..env }, at);
    }

    /// Calls the woken extensions of a stage in order until one does not pass.
    fn run(
        &self,
        stage: Stage,
        woken: Woken,
        env: Env<'_>,
        mut call: impl FnMut(&'static Extension, &Env<'_>) -> Verdict,
    ) -> Verdict {
        let Some(acting) = self.stages.get(stage as usize) else { return Verdict::Pass };
        for index in woken.meet(acting).iter() {
            let Some(extension) = self.extensions.get(index).copied() else { continue };
            let settings = self.configured.get(index).and_then(Option::as_deref);
            let verdict = call(extension, &Env { settings, ..env });
            if !verdict.is_pass() {
                return verdict;
            }
        }
        Verdict::Pass
    }
}

fn join_named(woken: &mut Woken, list: &ByText, name: &[u8]) {
    for (have, set) in list {
        if have.as_bytes().eq_ignore_ascii_case(name) {
            woken.join(set);
        }
    }
}

macro_rules! stages {
    ($($(#[$doc:meta])* $method:ident, $stage:ident, $context:ty;)*) => {
        impl Registry {
            $(
                $(#[$doc])*
                pub fn $method(&self, woken: Woken, env: Env<'_>, at: &mut $context) -> Verdict {
                    self.run(Stage::$stage, woken, env, |extension, env| {
                        extension.behaviour.$method(env, at)
                    })
                }
            )*
        }
    };
}

stages! {
    /// Calls the stage of a UAS that has a request.
    uas_request, UasRequest, UasRequest<'_>;
    /// Calls the stage of a UAS that is about to respond.
    uas_response, UasResponse, UasResponse<'_>;
    /// Calls the stage of a proxy that examines a request.
    proxy_validate, ProxyValidate, ProxyValidate<'_>;
    /// Calls the stage of a proxy that has taken its own route from a request.
    proxy_preprocess, ProxyPreprocess, ProxyPreprocess<'_>;
    /// Calls the stage of a proxy that is about to forward to one target.
    proxy_forward, ProxyForward, ProxyForward<'_, '_>;
    /// Calls the stage of a proxy to which something came of a branch.
    proxy_received, ProxyReceived, ProxyReceived<'_>;
    /// Calls the stage of a proxy that is about to forward a response.
    proxy_response, ProxyResponse, ProxyResponse<'_, '_>;
    /// Calls the stage of a proxy that is about to send a response of its own.
    proxy_reply, ProxyReply, ProxyReply<'_>;
    /// Calls the stage of a proxy that is about to send a CANCEL of its own.
    proxy_cancel, ProxyCancel, ProxyCancel<'_>;
    /// Calls the stage of a registrar that is about to take bindings.
    register, Register, Register<'_, '_>;
    /// Calls the stage of a registrar that is about to send its 200.
    registered, Registered, Registered<'_>;
    /// Calls the stage of a UAC that is about to send a request.
    uac_request, UacRequest, UacRequest<'_>;
    /// Calls the stage of a UAC that has a response.
    uac_response, UacResponse, UacResponse<'_>;
    /// Calls the stage of a user agent one of whose dialogs is over.
    dialog_ended, DialogEnded, DialogEnded<'_>;
}

impl Registry {
    /// Calls the stage of a proxy that has a target set: besides the woken extensions those
    /// that attached something to one of the bindings in it.
    pub fn proxy_targets(&self, woken: Woken, env: Env<'_>, at: &mut ProxyTargets<'_>) -> Verdict {
        let mut woken = woken;
        for candidate in at.targets.iter() {
            self.woken_by_kept(&mut woken, &candidate.kept);
        }
        self.run(Stage::ProxyTargets, woken, env, |extension, env| {
            extension.behaviour.proxy_targets(env, at)
        })
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.extensions.iter().map(|extension| extension.id)).finish()
    }
}
