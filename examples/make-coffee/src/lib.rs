//! Making coffee with SIP: an extension in a crate of its own.
//!
//! RFC 4485 section 4.9 names a header field Make-Coffee for its example of a good title. Here
//! it is, whole: a caller names a coffee, a callee with a pot makes it or says what it has, and
//! a proxy with a heart keeps it from being too strong. No other crate knows of it.
//!
//! # Security
//! Coffee is made for whoever asks; who may ask is for SIP's own authentication.
//!
//! # Interactions
//! A fork makes a pot for each branch that answers.

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Configured, Env, Extension, FieldDeclaration, FieldParameter, FlowKind,
    FlowReference, Interactions, OptionTag, Proof, ProxyForward, Reply, Roles, Row, Rule, Setting,
    SettingFault, Shape, Stage, UacRequest, UacResponse, UasRequest, UriSchemes, Verdict, Wake,
    Where,
};
use towel_message::Params;

const FIELD: &str = "Make-Coffee";
const TAG: &str = "make-coffee";

/// What this element wants and has.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    want: Option<String>,
    kinds: Vec<String>,
    strongest: Option<u8>,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        match *key {
            "want" => settings.want = Some((*value).into()),
            "kinds" => settings.kinds.push((*value).into()),
            _ => match value.parse() {
                Ok(most) => settings.strongest = Some(most),
                Err(_) => return Err(SettingFault::new(*key, "write a number from 0 to 255")),
            },
        }
    }
    Ok(Arc::new(settings))
}

/// `kind *(;param)`: the kind and the strength that is asked for.
fn coffee(value: &[u8]) -> (&[u8], Option<u8>) {
    let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    let (kind, params) = value.split_at(end);
    let strength = Params::new(params).value("strength");
    (kind.trim_ascii(), strength.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()))
}

struct Coffee;

impl Behaviour for Coffee {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UasRequest, Stage::ProxyForward, Stage::UacRequest, Stage::UacResponse]
    }

    /// A client that wants coffee says so, and insists.
    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        let want = env.settings::<Settings>().and_then(|settings| settings.want.as_deref());
        if let (Some(want), b"OPTIONS" | b"INVITE") = (want, at.method) {
            at.fields.push(FIELD, want);
            at.fields.push("Require", TAG);
            at.slots.set(TAG, want.to_owned());
        }
        Verdict::Pass
    }

    /// It tells its user how it went; after a 420 there is tea.
    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        let made = at.response.named(FIELD.as_bytes()).next();
        let asked = at.slots.get::<String>(TAG).map_or("coffee", String::as_str);
        match (at.response.status(), made.map(|field| String::from_utf8_lossy(field.value))) {
            (200..300, Some(made)) => at.notes.push(format!("coffee: {made}")),
            (420, _) => at.notes.push(format!("no {asked} there")),
            _ => {}
        }
        Verdict::Pass
    }

    /// A server makes what it has, and says what it has when asked for another.
    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        let kinds = env.settings::<Settings>().map_or(&[][..], |settings| &settings.kinds);
        let Some(wanted) = at.request.named(FIELD.as_bytes()).next() else { return Verdict::Pass };
        let (kind, _) = coffee(wanted.value);
        if kinds.iter().any(|have| have.as_bytes().eq_ignore_ascii_case(kind)) {
            at.fields.push(FIELD, [kind, b";wait=240"].concat());
            return Verdict::Pass;
        }
        Verdict::reply(Reply::new(406, "No Such Coffee").with(FIELD, kinds.join(", ")))
    }

    /// A proxy makes it weaker where its house rules say so.
    fn proxy_forward(&self, env: &Env<'_>, at: &mut ProxyForward<'_, '_>) -> Verdict {
        let most = env.settings::<Settings>().and_then(|settings| settings.strongest);
        let Some(wanted) = at.request.named(FIELD.as_bytes()).next() else { return Verdict::Pass };
        if let (Some(most), (kind, Some(strength))) = (most, coffee(wanted.value))
            && strength > most
        {
            let weaker = format!("{};strength={most}", String::from_utf8_lossy(kind));
            at.draft.replace_value(&wanted, weaker.as_bytes());
        }
        Verdict::Pass
    }
}

/// The declaration: all that RFC 4485 asks for.
pub static EXTENSION: Extension = Extension {
    id: TAG,
    title: "Making Coffee with the Session Initiation Protocol (SIP)",
    documents: &["RFC 4485 section 4.9"],
    overview: "A caller names the coffee it would like in its request. The callee starts the pot \
        and says how long it takes, or says which coffees it has. A proxy on the way may make it \
        weaker.",
    security: "Nobody is let in for coffee who would not be let in without.",
    interactions: Interactions {
        forking: "each branch that answers makes a pot",
        cancel_and_ack: "neither carries the header field; a pot once begun is finished",
        routing: "none",
        stateless_proxies: "what a proxy changes it can change without state",
        dialog_usages: "the coffee outlives the dialog",
    },
    compatibility: "Without the tag in Require the header field is ignored and nobody gets coffee.",
    option_tags: &[OptionTag {
        name: TAG,
        supported_by: Roles::ALL,
        required: true,
        proxy_required: false,
        fallback: "after a 420 the client asks again without, and makes tea",
    }],
    fields: &[FieldDeclaration {
        name: FIELD,
        compact: None,
        share: 1,
        shape: Shape::List,
        extensible: true,
        uris: UriSchemes::None,
        grammar: "RFC 4485 section 4.9 (coffee *(SEMI generic-param))",
        rows: &[
            Row::new(Where::Request, "mr", "---oo- --------"),
            Row::new(Where::Codes(&[(200, 299), (406, 406)]), "r", "---oo- --------"),
        ],
    }],
    field_parameters: &[
        FieldParameter { field: FIELD, name: "strength", grammar: "RFC 4485 section 4.9" },
        FieldParameter { field: FIELD, name: "wait", grammar: "RFC 4485 section 4.9" },
    ],
    uac: Acts::Does("Asks for coffee and insists with Require; after a 420 it has tea."),
    uas: Acts::Does("Makes what it has and says how long it takes; else 406 with what it has."),
    proxy: Acts::Does("Lowers the strength to that of its house."),
    registrar: Acts::Nothing("nobody registers for coffee"),
    implements: Roles::UA.and(Roles::PROXY),
    rules: &[Rule {
        section: "4485 4.9",
        roles: Roles::UAS,
        text: "coffee that is not there is refused with a list of what is",
        proof: Proof::Flow("make-coffee-unknown"),
    }],
    flows: &[
        FlowReference { name: "make-coffee", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference { name: "make-coffee-unknown", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "make-coffee-weaker", kind: FlowKind::Common, roles: Roles::PROXY },
        FlowReference { name: "make-coffee-phone", kind: FlowKind::Failure, roles: Roles::UAC },
    ],
    wake: &[Wake::Field(FIELD), Wake::Method("OPTIONS"), Wake::Method("INVITE")],
    settings: &[
        Setting { key: "want", about: "the coffee that our requests ask for", default: "" },
        Setting { key: "kinds", about: "the coffees that we make", default: "[]" },
        Setting { key: "strongest", about: "the strength a proxy lets pass", default: "" },
    ],
    configure: Some(configure),
    behaviour: &Coffee,
    ..Extension::EMPTY
};

#[cfg(test)]
mod tests;
