//! RFC 3261 section 20: its header fields, with Tables 2 and 3.
//!
//! The first six letters of a row are RFC 3261's columns. The other eight come from the
//! documents that added the methods: RFC 3428 (MESSAGE), 3262 (PRACK), 3311 (UPDATE), 3265
//! (SUBSCRIBE and NOTIFY; RFC 6665 has no such table and changes none of these), 3903 (PUBLISH),
//! 6086 (INFO) and 3515 (REFER). Where a document is silent on a header field it is optional.

use towel_core::contract::{
    FieldDeclaration, PROVISIONAL, REDIRECTION, Row, SUCCESS, Shape, UriSchemes, Where,
};

/// A header field of RFC 3261 with the usual answers.
const fn field(
    name: &'static str,
    grammar: &'static str,
    rows: &'static [Row],
) -> FieldDeclaration {
    FieldDeclaration {
        name,
        compact: None,
        share: 0,
        shape: Shape::Single,
        extensible: false,
        uris: UriSchemes::None,
        grammar,
        rows,
    }
}

/// Routes hold only SIP and SIPS URIs: no other scheme names a proxy (section 25.1).
const ROUTE_URIS: UriSchemes = UriSchemes::Only(&["sip", "sips"], "only these name a proxy");

/// The header fields of RFC 3261 section 20.
pub(super) const FIELDS: &[FieldDeclaration] = &[
    FieldDeclaration {
        shape: Shape::List,
        extensible: true,
        ..field(
            "Accept",
            "RFC 3261 section 20.1",
            &[
                Row::new(Where::Request, "", "-o-oMo -ooooooo"),
                Row::new(SUCCESS, "", "---oMo --o---o-"),
                Row::new(Where::Codes(&[(415, 415)]), "", "-c-ccc MccooMoc"),
            ],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        extensible: true,
        ..field(
            "Accept-Encoding",
            "RFC 3261 section 20.2",
            &[
                Row::new(Where::Request, "", "-o-ooo -ooooooo"),
                Row::new(SUCCESS, "", "---oMo --o---o-"),
                Row::new(Where::Codes(&[(415, 415)]), "", "-c-ccc MccooMcc"),
            ],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        extensible: true,
        ..field(
            "Accept-Language",
            "RFC 3261 section 20.3",
            &[
                Row::new(Where::Request, "", "-o-ooo -ooooooo"),
                Row::new(SUCCESS, "", "---oMo --o---o-"),
                Row::new(Where::Codes(&[(415, 415)]), "", "-c-ccc MccooMoc"),
            ],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        extensible: true,
        uris: UriSchemes::Any,
        ..field(
            "Alert-Info",
            "RFC 3261 section 20.4",
            &[
                Row::new(Where::Request, "ar", "---o-- --------"),
                Row::new(Where::Codes(&[(180, 180)]), "ar", "---o-- --------"),
            ],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        ..field(
            "Allow",
            "RFC 3261 section 20.5",
            &[
                Row::new(Where::Request, "", "-o-ooo oooooooo"),
                Row::new(SUCCESS, "", "-o-MMo oooooooo"),
                Row::new(Where::Response, "", "-o-ooo oooooooo"),
                Row::new(Where::Codes(&[(405, 405)]), "", "-m-mmm mmmmmmmm"),
            ],
        )
    },
    field(
        "Authentication-Info",
        "RFC 3261 section 20.6",
        &[Row::new(SUCCESS, "", "-o-ooo oooooooo")],
    ),
    FieldDeclaration {
        extensible: true,
        ..field(
            "Authorization",
            "RFC 3261 section 20.7",
            &[Row::new(Where::Request, "", "oooooo oooooooo")],
        )
    },
    FieldDeclaration {
        compact: Some('i'),
        share: 100,
        ..field(
            "Call-ID",
            "RFC 3261 section 20.8",
            &[Row::new(Where::Copied, "r", "mmmmmm mmmmmmmm")],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        extensible: true,
        uris: UriSchemes::Any,
        ..field(
            "Call-Info",
            "RFC 3261 section 20.9",
            &[Row::new(Where::Any, "ar", "---ooo o-ooooo-")],
        )
    },
    FieldDeclaration {
        compact: Some('m'),
        share: 60,
        shape: Shape::List,
        extensible: true,
        uris: UriSchemes::Any,
        ..field(
            "Contact",
            "RFC 3261 section 20.10",
            &[
                Row::new(Where::Request, "", "o--moo --mmm--m"),
                Row::new(PROVISIONAL, "", "---o-- --ooo---"),
                Row::new(SUCCESS, "", "---moo --mmo--m"),
                Row::new(REDIRECTION, "d", "-o-ooo ooommo-o"),
                Row::new(Where::Codes(&[(485, 485)]), "", "-o-ooo oooooo-o"),
            ],
        )
    },
    FieldDeclaration {
        extensible: true,
        ..field(
            "Content-Disposition",
            "RFC 3261 section 20.11",
            &[Row::new(Where::Any, "", "oo-ooo oooooooo")],
        )
    },
    FieldDeclaration {
        compact: Some('e'),
        share: 1,
        shape: Shape::List,
        ..field(
            "Content-Encoding",
            "RFC 3261 section 20.12",
            &[Row::new(Where::Any, "", "oo-ooo oooooooo")],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        ..field(
            "Content-Language",
            "RFC 3261 section 20.13",
            &[Row::new(Where::Any, "", "oo-ooo oooooooo")],
        )
    },
    FieldDeclaration {
        compact: Some('l'),
        share: 100,
        ..field(
            "Content-Length",
            "RFC 3261 section 20.14",
            &[Row::new(Where::Any, "ar", "tttttt ttttttoo")],
        )
    },
    FieldDeclaration {
        compact: Some('c'),
        share: 35,
        extensible: true,
        ..field(
            "Content-Type",
            "RFC 3261 section 20.15",
            &[Row::new(Where::Any, "", "**-*** ********")],
        )
    },
    field("CSeq", "RFC 3261 section 20.16", &[Row::new(Where::Copied, "r", "mmmmmm mmmmmmmm")]),
    FieldDeclaration {
        shape: Shape::Date,
        ..field(
            "Date",
            "RFC 3261 section 20.17 (SIP-date)",
            &[Row::new(Where::Any, "a", "oooooo oooooooo")],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        extensible: true,
        uris: UriSchemes::Any,
        ..field(
            "Error-Info",
            "RFC 3261 section 20.18",
            &[Row::new(Where::Codes(&[(300, 699)]), "a", "-ooooo oooooooo")],
        )
    },
    field(
        "Expires",
        "RFC 3261 section 20.19",
        &[Row::new(Where::Any, "", "---o-o o--o-o-o"), Row::new(SUCCESS, "", "---o-o o--m-m-o")],
    ),
    FieldDeclaration {
        compact: Some('f'),
        share: 100,
        extensible: true,
        uris: UriSchemes::Any,
        ..field(
            "From",
            "RFC 3261 section 20.20",
            &[Row::new(Where::Copied, "r", "mmmmmm mmmmmmmm")],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        ..field(
            "In-Reply-To",
            "RFC 3261 section 20.21",
            &[Row::new(Where::Request, "", "---o-- o-------")],
        )
    },
    field(
        "Max-Forwards",
        "RFC 3261 section 20.22",
        &[Row::new(Where::Request, "amr", "mmmmmm mmmmmmom")],
    ),
    field(
        "Min-Expires",
        "RFC 3261 section 20.23",
        &[Row::new(Where::Codes(&[(423, 423)]), "", "-----m ---m-m--")],
    ),
    field("MIME-Version", "RFC 3261 section 20.24", &[Row::new(Where::Any, "", "oo-ooo oooooooo")]),
    FieldDeclaration {
        shape: Shape::Text,
        ..field(
            "Organization",
            "RFC 3261 section 20.25",
            &[Row::new(Where::Any, "ar", "---ooo o-oo-o-o")],
        )
    },
    field(
        "Priority",
        "RFC 3261 section 20.26",
        &[Row::new(Where::Request, "ar", "---o-- o--o-o--")],
    ),
    FieldDeclaration {
        extensible: true,
        ..field(
            "Proxy-Authenticate",
            "RFC 3261 section 20.27",
            &[
                Row::new(Where::Codes(&[(407, 407)]), "ar", "-m-mmm mmmmmmmm"),
                Row::new(Where::Codes(&[(401, 401)]), "ar", "-ooooo oooooooo"),
            ],
        )
    },
    FieldDeclaration {
        extensible: true,
        ..field(
            "Proxy-Authorization",
            "RFC 3261 section 20.28",
            &[Row::new(Where::Request, "dr", "oo-ooo oooooooo")],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        ..field(
            "Proxy-Require",
            "RFC 3261 section 20.29",
            &[Row::new(Where::Request, "ar", "-o-ooo oooooooo")],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        extensible: true,
        uris: ROUTE_URIS,
        ..field(
            "Record-Route",
            "RFC 3261 section 20.30",
            &[
                Row::new(Where::Request, "ar", "ooooo- -oooo-oo"),
                Row::new(Where::Codes(&[(200, 299), (180, 189)]), "mr", "-oooo- -oooo-oo"),
            ],
        )
    },
    FieldDeclaration {
        extensible: true,
        uris: UriSchemes::Any,
        ..field(
            "Reply-To",
            "RFC 3261 section 20.31",
            &[Row::new(Where::Any, "", "---o-- o-----o-")],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        ..field(
            "Require",
            "RFC 3261 section 20.32",
            &[Row::new(Where::Any, "ar", "-c-ccc cccooooc")],
        )
    },
    FieldDeclaration {
        extensible: true,
        ..field(
            "Retry-After",
            "RFC 3261 section 20.33",
            &[Row::new(
                Where::Codes(&[
                    (404, 404),
                    (413, 413),
                    (480, 480),
                    (486, 486),
                    (500, 500),
                    (503, 503),
                    (600, 600),
                    (603, 603),
                ]),
                "",
                "-ooooo oooooooo",
            )],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        extensible: true,
        uris: ROUTE_URIS,
        ..field(
            "Route",
            "RFC 3261 section 20.34",
            &[Row::new(Where::Request, "adr", "cccccc occcccoc")],
        )
    },
    field("Server", "RFC 3261 section 20.35", &[Row::new(Where::Response, "", "-ooooo oooooooo")]),
    FieldDeclaration {
        compact: Some('s'),
        share: 1,
        shape: Shape::Text,
        ..field(
            "Subject",
            "RFC 3261 section 20.36",
            &[Row::new(Where::Request, "", "---o-- o-o--oo-")],
        )
    },
    FieldDeclaration {
        compact: Some('k'),
        share: 40,
        shape: Shape::List,
        ..field(
            "Supported",
            "RFC 3261 section 20.37",
            &[
                Row::new(Where::Request, "", "-ooMoo oooooooo"),
                Row::new(SUCCESS, "", "-ooMMo oooooooo"),
            ],
        )
    },
    field("Timestamp", "RFC 3261 section 20.38", &[Row::new(Where::Any, "", "oooooo oooooooo")]),
    FieldDeclaration {
        compact: Some('t'),
        share: 100,
        extensible: true,
        uris: UriSchemes::Any,
        ..field("To", "RFC 3261 section 20.39", &[Row::new(Where::Copied, "r", "mmmmmm mmmmmmmm")])
    },
    FieldDeclaration {
        shape: Shape::List,
        ..field(
            "Unsupported",
            "RFC 3261 section 20.40",
            &[Row::new(Where::Codes(&[(420, 420)]), "", "-m-mmm ommooooo")],
        )
    },
    field("User-Agent", "RFC 3261 section 20.41", &[Row::new(Where::Any, "", "oooooo oooooooo")]),
    FieldDeclaration {
        compact: Some('v'),
        share: 100,
        shape: Shape::List,
        extensible: true,
        ..field(
            "Via",
            "RFC 3261 section 20.42",
            &[
                Row::new(Where::Request, "amr", "mmmmmm mmmmmmmm"),
                Row::new(Where::Response, "dr", "mmmmmm mmmmmmmm"),
            ],
        )
    },
    FieldDeclaration {
        shape: Shape::List,
        ..field(
            "Warning",
            "RFC 3261 section 20.43",
            &[Row::new(Where::Response, "", "-ooooo oooooooo")],
        )
    },
    FieldDeclaration {
        extensible: true,
        ..field(
            "WWW-Authenticate",
            "RFC 3261 section 20.44",
            &[
                Row::new(Where::Codes(&[(401, 401)]), "ar", "-m-mmm mmmmmmmm"),
                Row::new(Where::Codes(&[(407, 407)]), "ar", "-o-ooo oooooooo"),
            ],
        )
    },
];
