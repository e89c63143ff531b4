//! What an extension says of itself: everything RFC 4485 asks an author to write down.
//!
//! A declaration is one `const` value. It is data for the registry (which computes `Allow`,
//! `Supported` and the rest from it), for the check of [`super::check`], for the audit of
//! messages and for the printed guide; no code anywhere repeats what it says.

use super::behaviour::{Behaviour, NOTHING};
use super::registry::Configure;
use super::roles::Roles;
use super::table::Row;

/// The part of the Guide that lists an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// 2: protocols that belong to any SIP deployment.
    Family = 2,
    /// 3: core specifications.
    Core = 3,
    /// 4: interworking with the telephone network.
    Pstn = 4,
    /// 5: general purpose infrastructure.
    Infrastructure = 5,
    /// 6: minor extensions.
    Minor = 6,
    /// 7: call control primitives.
    CallControl = 7,
    /// 8: event packages.
    EventPackages = 8,
    /// 9: quality of service.
    QualityOfService = 9,
    /// 10: operations and management.
    Operations = 10,
    /// 11: compression.
    Compression = 11,
    /// 12: service URIs.
    ServiceUris = 12,
    /// 13: security mechanisms.
    Security = 13,
    /// 14: instant messaging and presence.
    Messaging = 14,
    /// 15: emergency services.
    Emergency = 15,
    /// Not in the Guide: somebody's own extension, or one that came after it.
    Elsewhere = 99,
}

impl Section {
    /// The section's heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Family => "The SIP family",
            Self::Core => "Core",
            Self::Pstn => "PSTN interworking",
            Self::Infrastructure => "General purpose infrastructure",
            Self::Minor => "Minor extensions",
            Self::CallControl => "Call control primitives",
            Self::EventPackages => "Event packages",
            Self::QualityOfService => "Quality of service",
            Self::Operations => "Operations and management",
            Self::Compression => "Compression",
            Self::ServiceUris => "Service URIs",
            Self::Security => "Security mechanisms",
            Self::Messaging => "Instant messaging and presence",
            Self::Emergency => "Emergency services",
            Self::Elsewhere => "Elsewhere",
        }
    }
}

/// The Guide's own letter for a specification's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// S: standards track.
    Standard,
    /// E: experimental.
    Experimental,
    /// B: best current practice.
    BestPractice,
    /// I: informational; P-header fields are of this kind.
    Informational,
    /// P: proposed standard of low maturity.
    Proposed,
    /// Not a document of the IETF.
    Private,
}

/// A statement of what one kind of element does (RFC 4485 section 4.5: each must be made).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acts {
    /// The declaration forgot to say: a finding.
    Unsaid,
    /// Nothing is asked of this kind of element, and why.
    Nothing(&'static str),
    /// What it does, in the order in which it happens.
    Does(&'static str),
}

/// An option tag (RFC 4485 section 4.1) and how a client falls back without it.
#[derive(Debug, Clone, Copy)]
pub struct OptionTag {
    /// The tag.
    pub name: &'static str,
    /// Roles in which we support it: these put it into `Supported` and accept it in `Require`.
    pub supported_by: Roles,
    /// Whether the extension ever puts the tag into `Require`.
    pub required: bool,
    /// Whether the extension ever puts the tag into `Proxy-Require`.
    pub proxy_required: bool,
    /// What a client does after a 420; needed if either of the two is ever used.
    pub fallback: &'static str,
}

/// Where requests of a method stand towards dialogs (RFC 4485 section 4.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialogUse {
    /// Only outside dialogs.
    Outside,
    /// Only inside one.
    Inside,
    /// Either.
    Either,
    /// It may create one.
    Creates,
}

/// A method and RFC 4485 section 4.10's questions answered.
#[derive(Debug, Clone, Copy)]
pub struct MethodDeclaration {
    /// The method's name.
    pub name: &'static str,
    /// Roles in which we answer it ourselves: these put it into `Allow`.
    pub answered_by: Roles,
    /// What bodies mean in its requests; empty if it has none.
    pub bodies: &'static str,
    /// Whether transactions of it may overlap another one, in either direction.
    pub overlaps: &'static str,
    /// Where it stands towards dialogs.
    pub dialog: DialogUse,
    /// Whether it is a target refresh request.
    pub target_refresh: bool,
    /// Offers and answers in its requests or responses; empty if neither.
    pub offer_answer: &'static str,
    /// Whether CANCEL may end it: INVITE alone.
    pub cancellable: bool,
    /// Whether the server answers at once: every method but INVITE.
    pub immediate: bool,
    /// Whether a proxy must know the method to pass it on: INVITE, ACK and CANCEL alone.
    pub proxies_must_know: bool,
    /// What forking does to it; needed if it creates dialogs.
    pub forking: &'static str,
    /// The request that comes back at once when it creates a dialog; needed if it does.
    pub reverse_request: &'static str,
}

/// The shape of a header field's value (RFC 4485 section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A list of values, each with parameters: may be joined with commas.
    List,
    /// One value with parameters.
    Single,
    /// Text for people to read: UTF-8, no structure.
    Text,
    /// A date: must be SIP-date.
    Date,
}

/// A header field.
#[derive(Debug, Clone, Copy)]
pub struct FieldDeclaration {
    /// Its name, in the capitalisation to use.
    pub name: &'static str,
    /// Its compact form.
    pub compact: Option<char>,
    /// The share of all messages that carry it, in per cent; a compact form needs above thirty.
    pub share: u8,
    /// The shape of its value.
    pub shape: Shape,
    /// Whether the value may carry parameters that the grammar does not name.
    pub extensible: bool,
    /// Whether its value holds URIs.
    pub uris: UriSchemes,
    /// Where its grammar is written: document and section.
    pub grammar: &'static str,
    /// Its rows of Tables 2 and 3.
    pub rows: &'static [Row],
}

/// What a header field says of the URIs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UriSchemes {
    /// It holds none.
    None,
    /// It holds URIs of any scheme.
    Any,
    /// Only of these schemes, and why no others.
    Only(&'static [&'static str], &'static str),
    /// It holds URIs and the declaration does not say of which schemes: a finding.
    Unsaid,
}

/// A parameter of a header field (RFC 3968).
#[derive(Debug, Clone, Copy)]
pub struct FieldParameter {
    /// The header field that carries it.
    pub field: &'static str,
    /// The parameter's name.
    pub name: &'static str,
    /// Where its grammar is written.
    pub grammar: &'static str,
}

/// A parameter of a SIP URI (RFC 3969).
#[derive(Debug, Clone, Copy)]
pub struct UriParameter {
    /// The parameter's name.
    pub name: &'static str,
    /// Where its grammar is written.
    pub grammar: &'static str,
}

/// What a final response does to a dialog (RFC 5057).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialogEffect {
    /// The declaration forgot to say: a finding.
    Unsaid,
    /// It is not a final response to a request inside a dialog.
    NotApplicable,
    /// Ends the transaction only.
    Transaction,
    /// Ends the usage that the request belongs to.
    Usage,
    /// Ends the dialog with all its usages.
    Dialog,
}

/// A response code.
#[derive(Debug, Clone, Copy)]
pub struct ResponseCode {
    /// The status code.
    pub code: u16,
    /// The default reason phrase.
    pub phrase: &'static str,
    /// Its effect on a dialog when it answers a request inside one.
    pub effect: DialogEffect,
}

/// A warn code for the Warning header field.
#[derive(Debug, Clone, Copy)]
pub struct WarnCode {
    /// The code.
    pub code: u16,
    /// Its text.
    pub text: &'static str,
}

/// An event package or template package (RFC 6665).
#[derive(Debug, Clone, Copy)]
pub struct EventPackage {
    /// The package's name.
    pub name: &'static str,
    /// Whether it is a template that is applied to other packages.
    pub template: bool,
    /// The body types of its notifications.
    pub bodies: &'static [&'static str],
    /// Seconds a subscription lasts when nothing is asked for.
    pub default_expiry: u32,
    /// Roles in which we serve it: these put it into `Allow-Events`.
    pub served_by: Roles,
}

/// A body type.
#[derive(Debug, Clone, Copy)]
pub struct BodyType {
    /// The media type, as in Content-Type.
    pub media_type: &'static str,
    /// Its default disposition.
    pub disposition: &'static str,
    /// Whether a receiver may pass over it; new bodies should be optional (section 4.1).
    pub optional: bool,
    /// Why it cannot be optional, if it cannot.
    pub reason: &'static str,
    /// Roles in which we understand it: these put it into `Accept`.
    pub accepted_by: Roles,
}

/// RFC 4485 section 5: the features that extensions trip over.
#[derive(Debug, Clone, Copy)]
pub struct Interactions {
    /// One request, many servers; one INVITE, many responses.
    pub forking: &'static str,
    /// The two requests that are about another request.
    pub cancel_and_ack: &'static str,
    /// Route and Record-Route.
    pub routing: &'static str,
    /// Proxies that keep nothing.
    pub stateless_proxies: &'static str,
    /// Several usages of one dialog.
    pub dialog_usages: &'static str,
}

/// What a flow shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowKind {
    /// The usual case.
    Common,
    /// A failure or something unusual.
    Failure,
}

/// A flow that proves something: a file of the flows folder, named without its ending.
#[derive(Debug, Clone, Copy)]
pub struct FlowReference {
    /// The flow's name.
    pub name: &'static str,
    /// Which case it shows.
    pub kind: FlowKind,
    /// The roles that we play in it.
    pub roles: Roles,
}

/// What shows that a rule is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A flow, by name.
    Flow(&'static str),
    /// A test, by path within its crate.
    Test(&'static str),
    /// It is not met on purpose, and why.
    Excepted(&'static str),
    /// It is still to be met.
    ToDo,
}

/// One rule of the extension's documents, in our own words.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Document and section, such as `3327 5.1`.
    pub section: &'static str,
    /// Whom it binds.
    pub roles: Roles,
    /// What it asks.
    pub text: &'static str,
    /// What shows it.
    pub proof: Proof,
}

/// What on a message calls an extension.
#[derive(Debug, Clone, Copy)]
pub enum Wake {
    /// Every message: for a few only.
    Always,
    /// A header field, by name.
    Field(&'static str),
    /// An option tag in Supported, Require or Proxy-Require.
    OptionTag(&'static str),
    /// A request, or the response to one, of this method.
    Method(&'static str),
    /// An event package in Event.
    Package(&'static str),
    /// A parameter of the Request-URI.
    UriParameter(&'static str),
    /// A Request-URI of this scheme.
    UriScheme(&'static str),
    /// A response with this status, received or about to be made.
    Status(u16),
    /// A target whose binding has something attached by the extension with this id; only at the
    /// stage that looks at targets.
    Kept(&'static str),
}

/// A key of the configuration that an extension reads.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The key, as written in the extension's table of the configuration.
    pub key: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Its default, as it would be written.
    pub default: &'static str,
}

/// An extension's whole declaration.
#[derive(Clone, Copy)]
pub struct Extension {
    /// The Guide's id, or one of its own.
    pub id: &'static str,
    /// A title that says that SIP is extended (RFC 4485 section 4.9).
    pub title: &'static str,
    /// The documents built from, such as `RFC 3327`.
    pub documents: &'static [&'static str],
    /// Where the Guide lists it.
    pub section: Section,
    /// Its standing.
    pub category: Category,
    /// Basic operation, told to someone who is no expert, without words of obligation (4.7).
    pub overview: &'static str,
    /// What it does to SIP's security mechanisms (4.2).
    pub security: &'static str,
    /// Section 5's features.
    pub interactions: Interactions,
    /// How peers without it are served (4.1, 4.11).
    pub compatibility: &'static str,
    /// Option tags.
    pub option_tags: &'static [OptionTag],
    /// Methods.
    pub methods: &'static [MethodDeclaration],
    /// Header fields.
    pub fields: &'static [FieldDeclaration],
    /// Parameters of header fields.
    pub field_parameters: &'static [FieldParameter],
    /// Parameters of SIP URIs.
    pub uri_parameters: &'static [UriParameter],
    /// Response codes.
    pub response_codes: &'static [ResponseCode],
    /// Warn codes.
    pub warn_codes: &'static [WarnCode],
    /// Event packages.
    pub packages: &'static [EventPackage],
    /// Body types.
    pub bodies: &'static [BodyType],
    /// Values of Content-Disposition.
    pub dispositions: &'static [&'static str],
    /// Feature tags of Contact (RFC 3840).
    pub feature_tags: &'static [&'static str],
    /// Info packages (RFC 6086).
    pub info_packages: &'static [&'static str],
    /// Content codings that we decode.
    pub encodings: &'static [&'static str],
    /// What a UAC does.
    pub uac: Acts,
    /// What a UAS does.
    pub uas: Acts,
    /// What a proxy does.
    pub proxy: Acts,
    /// What a registrar does.
    pub registrar: Acts,
    /// Roles that this implementation plays in full.
    pub implements: Roles,
    /// Roles that it plays in part.
    pub partly: Roles,
    /// Extensions that must be present for this one to work.
    pub needs: &'static [&'static str],
    /// Extensions that cannot be present beside it.
    pub conflicts: &'static [&'static str],
    /// The rules that bind it.
    pub rules: &'static [Rule],
    /// The flows that prove it.
    pub flows: &'static [FlowReference],
    /// What calls it.
    pub wake: &'static [Wake],
    /// Keys of the configuration.
    pub settings: &'static [Setting],
    /// Reads those keys; absent if there are none.
    pub configure: Option<Configure>,
    /// What it does.
    pub behaviour: &'static dyn Behaviour,
}

impl Extension {
    /// A declaration that says nothing, to fill one in from: `..Extension::EMPTY`.
    pub const EMPTY: Self = Self {
        id: "",
        title: "",
        documents: &[],
        section: Section::Elsewhere,
        category: Category::Private,
        overview: "",
        security: "",
        interactions: Interactions {
            forking: "",
            cancel_and_ack: "",
            routing: "",
            stateless_proxies: "",
            dialog_usages: "",
        },
        compatibility: "",
        option_tags: &[],
        methods: &[],
        fields: &[],
        field_parameters: &[],
        uri_parameters: &[],
        response_codes: &[],
        warn_codes: &[],
        packages: &[],
        bodies: &[],
        dispositions: &[],
        feature_tags: &[],
        info_packages: &[],
        encodings: &[],
        uac: Acts::Unsaid,
        uas: Acts::Unsaid,
        proxy: Acts::Unsaid,
        registrar: Acts::Unsaid,
        implements: Roles::NONE,
        partly: Roles::NONE,
        needs: &[],
        conflicts: &[],
        rules: &[],
        flows: &[],
        wake: &[],
        settings: &[],
        configure: None,
        behaviour: &NOTHING,
    };
}

impl std::fmt::Debug for Extension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extension").field("id", &self.id).finish_non_exhaustive()
    }
}
