//! Service-Route: which way to go out (RFC 3608).
//!
//! The registrar tells a phone, in the answer to its registration, through which proxies the
//! phone's own requests are to go; the phone puts them into Route.
//!
//! # Security
//! Only the registrar of the user's own domain is listened to, and only about its own domain.
//!
//! # Interactions
//! The route is for new requests outside dialogs; a dialog has its own.

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FieldDeclaration, FlowKind,
    FlowReference, Interactions, Proof, Registered, Role, Roles, Row, Rule, SUCCESS, Section,
    Setting, SettingFault, Shape, Stage, UacRequest, UacResponse, UriSchemes, Verdict, Wake,
};
use towel_message::{Name, NameAddr, Uri};

const ID: &str = "service-route";
const WHO: Roles = Roles::of(&[Role::Uac, Role::Registrar]);

/// The route that the registrar hands out, first hop first, each value with its brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The values.
    pub route: Vec<String>,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut route = Vec::new();
    for (key, value) in entries {
        let uri = value.trim().trim_start_matches('<').trim_end_matches('>');
        // RFC 3608 section 6.3: the values are route elements and say so with lr.
        match Uri::parse(uri.as_bytes()) {
            Ok(Uri::Sip(sip)) if sip.lr() => route.push(format!("<{uri}>")),
            Ok(Uri::Sip(_)) => route.push(format!("<{uri};lr>")),
            _ => return Err(SettingFault::new(*key, format!("{value} is no SIP URI"))),
        }
    }
    Ok(Arc::new(Settings { route }))
}

/// What a UAC keeps of the last registration.
struct Kept(Vec<Vec<u8>>);

/// The behaviour.
struct ServiceRoute;

impl Behaviour for ServiceRoute {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::Registered, Stage::UacRequest, Stage::UacResponse]
    }

    /// Section 6.3: the registrar's policy is its configuration.
    fn registered(&self, env: &Env<'_>, at: &mut Registered<'_>) -> Verdict {
        if let Some(settings) = env.settings::<Settings>().filter(|one| !one.route.is_empty()) {
            at.fields.push("Service-Route", settings.route.join(", "));
        }
        Verdict::Pass
    }

    /// Section 6.1: the stored route is preloaded into initial requests, in its order.
    fn uac_request(&self, _env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        if at.method != b"REGISTER"
            && let Some(Kept(route)) = at.agent.get::<Kept>(ID)
        {
            at.fields.push("Route", route.join(&b", "[..]));
        }
        Verdict::Pass
    }

    /// Section 6.1: the latest 200 counts; one without the header field clears what was stored,
    /// and so does a refusal.
    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        if at.method != b"REGISTER" || at.response.status() < 200 {
            return Verdict::Pass;
        }
        let route: Vec<Vec<u8>> = at
            .response
            .values(Name::ServiceRoute)
            .filter(|value| NameAddr::parse(value.bytes).is_ok())
            .map(|value| value.bytes.to_vec())
            .collect();
        if at.response.status() < 300 && !route.is_empty() {
            at.agent.set(ID, Kept(route));
        } else {
            at.agent.clear(ID);
        }
        Verdict::Pass
    }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Service Route Discovery for the Session Initiation Protocol (SIP)",
    documents: &["RFC 3608"],
    section: Section::Infrastructure,
    category: Category::Standard,
    overview: "A phone registers, and the answer names the proxies of the home network that \
        the phone's outgoing requests are to visit. The phone stores the list and begins each \
        new call with it as the route.",
    security: "A false route would lead calls astray, so the answer that carries it deserves \
        TLS; intermediate proxies do not change it.",
    interactions: Interactions {
        forking: "none: the list is used before any fork",
        cancel_and_ack: "both follow the Route of the request they are about",
        routing: "the list becomes the Route of initial requests, after any local outbound proxy",
        stateless_proxies: "they pass the header field on",
        dialog_usages: "requests inside dialogs use the dialog's route set",
    },
    compatibility: "A client without it ignores the header field and goes the way it is set up.",
    fields: &[FieldDeclaration {
        name: "Service-Route",
        compact: None,
        share: 5,
        shape: Shape::List,
        extensible: true,
        uris: UriSchemes::Only(&["sip", "sips"], "its values become Route values"),
        grammar: "RFC 3608 section 5",
        rows: &[Row::new(SUCCESS, "ar", "-----o --------")],
    }],
    uac: Acts::Does(
        "Stores the list of the latest 200 to its REGISTER, forgets it when one comes without or \
         the registration fails, and preloads it into new requests.",
    ),
    uas: Acts::Nothing("it is about requests that a UA sends"),
    proxy: Acts::Nothing("it passes the header field on as it is (section 6.2)"),
    registrar: Acts::Does("Adds the configured route to each 200, a query's too."),
    implements: WHO,
    rules: &[
        Rule {
            section: "3608 6.1",
            roles: Roles::UAC,
            text: "the route of the latest 200 replaces the stored one; none clears it",
            proof: Proof::Test("infrastructure::service_route::tests::the_latest_route_counts"),
        },
        Rule {
            section: "3608 6.1",
            roles: Roles::UAC,
            text: "the stored route is preloaded into initial requests in its order",
            proof: Proof::Test("infrastructure::service_route::tests::the_latest_route_counts"),
        },
        Rule {
            section: "3608 6.3",
            roles: Roles::REGISTRAR,
            text: "the 200 carries the route that is configured, with lr, also when only asked",
            proof: Proof::Flow("service-route"),
        },
    ],
    flows: &[
        FlowReference { name: "service-route", kind: FlowKind::Common, roles: Roles::REGISTRAR },
        FlowReference { name: "service-route-phone", kind: FlowKind::Common, roles: WHO },
        FlowReference {
            name: "service-route-refused",
            kind: FlowKind::Failure,
            roles: Roles::REGISTRAR,
        },
    ],
    wake: &[Wake::Method("REGISTER"), Wake::Always],
    settings: &[Setting {
        key: "route",
        about: "SIP URIs of the proxies that clients are to send through, first hop first",
        default: "[]",
    }],
    configure: Some(configure),
    behaviour: &ServiceRoute,
    ..Extension::EMPTY
};

#[cfg(test)]
mod tests {
    use towel_core::contract::{Fields, Registry, Slots};

    use super::*;
    use crate::testing::{env, from, request, response};

    #[test]
    fn the_registrar_adds_what_is_configured() {
        let mut registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
        let entries = [("route", "sip:p2.example.com"), ("route", "<sip:p1.example.com;lr>")];
        registry.configure(ID, &entries).expect("settings");
        assert!(registry.configure(ID, &[("route", "tel:+1")]).is_err());
        assert!(registry.configure(ID, &[("rout", "x")]).is_err());
        let mut fields = Fields::new();
        request("REGISTER", "sip:example.com", "", |message| {
            let mut at = Registered {
                request: message,
                source: from("198.51.100.7:5060"),
                address_of_record: b"sip:bob@example.com",
                bindings: 0,
                fields: &mut fields,
            };
            registry.registered(registry.woken(&message), env(), &mut at);
        });
        let list = &b"<sip:p2.example.com;lr>, <sip:p1.example.com;lr>"[..];
        assert_eq!(fields.get("Service-Route"), Some(list));
    }

    fn answer(slots: &mut Slots, status: &str, more: &str) {
        response(status, "REGISTER", more, |message| {
            let mut at = UacResponse {
                response: message,
                method: b"REGISTER",
                notes: &mut Vec::new(),
                slots: &mut Slots::new(),
                agent: slots,
                source: crate::testing::from("198.51.100.7:5060"),
                dialog: None,
                tasks: &mut towel_core::contract::Tasks::new(),
                own: None,
                reliable: &mut false,
            };
            ServiceRoute.uac_response(&env(), &mut at);
        });
    }

    fn route(slots: &mut Slots) -> Option<Vec<u8>> {
        let mut fields = Fields::new();
        let mut at = UacRequest {
            method: b"INVITE",
            request_uri: &mut Vec::new(),
            fields: &mut fields,
            contact_parameters: &mut Vec::new(),
            next_hop: b"sip:192.0.2.1",
            slots: &mut Slots::new(),
            agent: slots,
            dialog: None,
            tasks: &mut towel_core::contract::Tasks::new(),
            body: &[],
            own: None,
            given: towel_core::contract::Given::default(),
        };
        ServiceRoute.uac_request(&env(), &mut at);
        fields.get("Route").map(<[u8]>::to_vec)
    }

    #[test]
    fn the_latest_route_counts() {
        let mut slots = Slots::new();
        answer(&mut slots, "200 OK", "Service-Route: <sip:a;lr>\nService-Route: <sip:b;lr>");
        assert_eq!(route(&mut slots).as_deref(), Some(&b"<sip:a;lr>, <sip:b;lr>"[..]));
        answer(&mut slots, "200 OK", "");
        assert_eq!(route(&mut slots), None);
        answer(&mut slots, "200 OK", "Service-Route: <sip:a;lr>");
        answer(&mut slots, "403 Forbidden", "");
        assert!(slots.is_empty());
    }
}
