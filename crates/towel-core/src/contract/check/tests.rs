//! For everything that is asked, a declaration that does not give it.

use super::*;
use crate::contract::behaviour::Behaviour;
use crate::contract::declaration::*;
use crate::contract::roles::Roles;
use crate::contract::table::{Row, Where};

const ROW: Row = Row::new(Where::Request, "ar", "---o-- --------");

const FIELD: FieldDeclaration = FieldDeclaration {
    name: "Make-Tea",
    compact: None,
    share: 1,
    shape: Shape::List,
    extensible: true,
    uris: UriSchemes::None,
    grammar: "RFC 9999 section 5",
    rows: &[ROW],
};

const METHOD: MethodDeclaration = MethodDeclaration {
    name: "BREW",
    answered_by: Roles::UAS,
    bodies: "none",
    overlaps: "any number",
    dialog: DialogUse::Outside,
    target_refresh: false,
    offer_answer: "",
    cancellable: false,
    immediate: true,
    proxies_must_know: false,
    forking: "",
    reverse_request: "",
};

const CODE: ResponseCode =
    ResponseCode { code: 418, phrase: "I'm a teapot", effect: DialogEffect::Transaction };

const TAG: OptionTag = OptionTag {
    name: "tea",
    supported_by: Roles::UA,
    required: true,
    proxy_required: false,
    fallback: "Ask again without tea.",
};

const BODY: BodyType = BodyType {
    media_type: "application/tea",
    disposition: "render",
    optional: true,
    reason: "",
    accepted_by: Roles::UAS,
};

const PACKAGE: EventPackage = EventPackage {
    name: "kettle",
    template: false,
    bodies: &["application/tea"],
    default_expiry: 60,
    served_by: Roles::UAS,
};

/// Nothing to say of this one.
const GOOD: Extension = Extension {
    id: "tea",
    title: "Making Hot Drinks with the Session Initiation Protocol (SIP)",
    documents: &["RFC 9999"],
    category: Category::Standard,
    overview: "A caller asks for a drink, and the callee answers whether it has one.",
    security: "None of its own.",
    interactions: Interactions {
        forking: "none",
        cancel_and_ack: "none",
        routing: "none",
        stateless_proxies: "none",
        dialog_usages: "none",
    },
    compatibility: "It is ignored.",
    uac: Acts::Does("asks"),
    uas: Acts::Does("answers"),
    proxy: Acts::Nothing("it is for the ends"),
    option_tags: &[TAG],
    methods: &[METHOD],
    fields: &[FieldDeclaration { rows: &[ROW.with(&[("BREW", Cell::Optional)])], ..FIELD }],
    field_parameters: &[FieldParameter {
        field: "Make-Tea",
        name: "milk",
        grammar: "RFC 9999 section 5",
    }],
    uri_parameters: &[UriParameter { name: "cup", grammar: "RFC 9999 section 5" }],
    response_codes: &[CODE],
    warn_codes: &[WarnCode { code: 388, text: "Too hot" }],
    packages: &[PACKAGE],
    bodies: &[BODY],
    flows: &[
        FlowReference { name: "tea", kind: FlowKind::Common, roles: Roles::UA },
        FlowReference { name: "no-tea", kind: FlowKind::Failure, roles: Roles::UA },
    ],
    rules: &[Rule {
        section: "9999 1",
        roles: Roles::UAC,
        text: "asks once",
        proof: Proof::Flow("tea"),
    }],
    wake: &[Wake::Field("Make-Tea"), Wake::OptionTag("tea")],
    ..Extension::EMPTY
};

use crate::contract::table::Cell;

struct Acting;
impl Behaviour for Acting {}
static ACTING: Acting = Acting;

/// What is asked, and a declaration that does not give it.
fn bad() -> Vec<(Asked, Extension)> {
    macro_rules! one {
        ($asked:ident, $($part:tt)*) => { (Asked::$asked, Extension { $($part)*, ..GOOD }) };
    }
    macro_rules! method {
        ($asked:ident, $($part:tt)*) => {
            one!($asked, methods: const { &[MethodDeclaration { $($part)*, ..METHOD }] })
        };
    }
    macro_rules! field {
        ($asked:ident, $($part:tt)*) => {
            one!($asked, methods: &[],
                 fields: const { &[FieldDeclaration { $($part)*, ..FIELD }] })
        };
    }
    macro_rules! row {
        ($asked:ident, $row:expr) => { field!($asked, rows: const { &[$row] }) };
    }
    vec![
        one!(Id, id: "Tea time"),
        one!(Title, title: "Making Tea"),
        one!(TitleDescribes, title: "The Make-Tea Header for the Session Initiation Protocol (SIP)"),
        one!(Documents, documents: &[]),
        one!(Overview, overview: ""),
        one!(OverviewTutorial, overview: "A caller MUST ask for a drink before it is made for it."),
        one!(Security, security: ""),
        one!(Interactions, interactions: Interactions { forking: "", ..GOOD.interactions }),
        one!(Compatibility, compatibility: ""),
        one!(Uac, uac: Acts::Unsaid),
        one!(Uas, uas: Acts::Does("")),
        one!(Proxy, proxy: Acts::Unsaid),
        one!(OptionTagToken, option_tags: &[OptionTag { name: "hot tea", ..TAG }]),
        one!(Fallback, option_tags: &[OptionTag { fallback: "", ..TAG }]),
        one!(ProxyRequire, option_tags: &[OptionTag { proxy_required: true, ..TAG }]),
        method!(MethodToken, name: "BREW IT"),
        method!(MethodCapitals, name: "Brew"),
        method!(MethodLength, name: "BREWBREWBR"),
        method!(MethodBodies, bodies: ""),
        method!(MethodOverlap, overlaps: ""),
        method!(MethodCancel, cancellable: true),
        method!(MethodImmediate, immediate: false),
        method!(MethodProxies, proxies_must_know: true),
        method!(MethodForking, dialog: DialogUse::Creates),
        method!(MethodReverse, dialog: DialogUse::Creates),
        field!(FieldToken, name: "--.!"),
        field!(FieldCapitals, name: "Make-tea"),
        field!(FieldBrief, name: "This-Is-My-New-Header-That-Doesnt-Do-Much"),
        field!(CompactLetter, compact: Some('T')),
        field!(CompactFree, compact: Some('t')),
        field!(CompactUse, compact: Some('z')),
        field!(Grammar, grammar: "somewhere"),
        field!(Dates, shape: Shape::Date),
        field!(Extensible, extensible: false),
        field!(Schemes, uris: UriSchemes::Unsaid),
        field!(Rows, rows: &[]),
        row!(Cells, Row::new(Where::Request, "", "---o--")),
        row!(RowUseful, Row::new(Where::Request, "", "------ --------")),
        row!(ProxyColumn, Row::new(Where::Request, "x", "---o-- --------")),
        row!(WhereColumn, Row::new(Where::Codes(&[(700, 99)]), "", "---o-- --------")),
        one!(FieldParameter, field_parameters: &[super::super::declaration::FieldParameter {
            field: "Coffee", name: "milk", grammar: "RFC 9999 section 5" }]),
        one!(UriParameter, uri_parameters: &[super::super::declaration::UriParameter {
            name: "a cup", grammar: "RFC 9999 section 5" }]),
        one!(ResponseCode, response_codes: &[
            super::super::declaration::ResponseCode { code: 999, ..CODE }]),
        one!(ResponseEffect, response_codes: &[
            super::super::declaration::ResponseCode { effect: DialogEffect::NotApplicable, ..CODE }]),
        one!(WarnCode, warn_codes: &[super::super::declaration::WarnCode { code: 200, text: "" }]),
        one!(Package, packages: &[EventPackage { name: "kettle.winfo", ..PACKAGE }]),
        one!(BodyType, bodies: &[super::super::declaration::BodyType {
            media_type: "tea", ..BODY }]),
        one!(BodyOptional, bodies: &[super::super::declaration::BodyType {
            optional: false, ..BODY }]),
        one!(OtherToken, feature_tags: &["hot tea"]),
        one!(Registration, category: Category::Informational),
        one!(CommonFlow, flows: &[], rules: &[]),
        one!(FailureFlow, flows: &[], rules: &[]),
        one!(Twice, option_tags: &[TAG, TAG]),
        one!(Needs, needs: &["milk"]),
        one!(Conflicts, conflicts: &["tea"]),
        one!(Rules, rules: &[Rule { section: "", roles: Roles::UAC, text: "x", proof: Proof::ToDo }]),
        one!(Wakes, wake: &[], behaviour: &ACTING),
        one!(Settings, settings: &[Setting { key: "sugar", about: "", default: "0" }]),
    ]
}

#[test]
fn nothing_is_said_of_a_good_declaration() {
    assert_eq!(check(&[&GOOD]), []);
}

#[test]
fn each_rule_finds_its_bad_declaration() {
    for (asked, extension) in bad() {
        let found = check(&[&extension]);
        assert!(
            found.iter().any(|finding| finding.asked == asked),
            "{asked:?} is not among {found:?}"
        );
        assert!(found.iter().all(|finding| !finding.to_string().is_empty()));
    }
}

#[test]
fn every_rule_has_a_bad_declaration() {
    let bad = bad();
    for asked in Asked::ALL {
        let shown = bad.iter().any(|(of, _)| of == asked) || *asked == Asked::Count;
        assert!(shown, "{asked:?} has no bad declaration");
    }
}

#[test]
fn more_than_a_registry_holds_is_said() {
    let many = vec![&GOOD; MOST_EXTENSIONS + 1];
    assert!(check(&many).iter().any(|finding| finding.asked == Asked::Count));
}

#[test]
fn two_declarations_may_not_share_a_name() {
    let other = Extension { id: "other", ..GOOD };
    let found = check(&[&GOOD, &other]);
    let kinds = ["option tag", "method", "header field", "URI parameter", "response code"];
    for kind in kinds {
        assert!(
            found.iter().any(|f| f.asked == Asked::Twice && f.text.contains(kind)),
            "no finding for two of {kind}"
        );
    }
}
