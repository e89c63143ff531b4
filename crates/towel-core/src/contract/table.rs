//! Rows of the table of header fields: RFC 3261 section 20, Tables 2 and 3, as data.
//!
//! A row says where a header field may stand (the *where* column), what a proxy may do to it
//! (the *proxy* column) and, method by method, whether it is optional, mandatory or not
//! applicable. RFC 4485 section 4.11 asks each extension for such rows with a cell for every
//! method there is; [`Row::cell`] answers for the methods of the IETF by position and for any
//! other by name.

/// The methods that have a column of their own, in the order of the cells of a [`Row`].
///
/// The first six are RFC 3261's; the others were added by RFC 3428, 3262, 3311, 6665 (two),
/// 3903, 6086 and 3515.
pub const COLUMNS: [&str; 14] = [
    "ACK",
    "BYE",
    "CANCEL",
    "INVITE",
    "OPTIONS",
    "REGISTER",
    "MESSAGE",
    "PRACK",
    "UPDATE",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "INFO",
    "REFER",
];

/// What a row says of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cell {
    /// `-`: must not be present.
    Forbidden,
    /// `o`: may be present.
    Optional,
    /// `m`: must be present.
    Mandatory,
    /// `m*`: should be sent; its absence is no error.
    Expected,
    /// `t`: should be sent, and must be on a stream transport.
    Stream,
    /// `*`: required when there is a body.
    WithBody,
    /// `c`: depends on the message's context.
    Conditional,
    /// The declaration says nothing: a finding of the check.
    Unsaid,
}

impl Cell {
    /// The cell as RFC 3261 prints it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Forbidden => "-",
            Self::Optional => "o",
            Self::Mandatory => "m",
            Self::Expected => "m*",
            Self::Stream => "t",
            Self::WithBody => "*",
            Self::Conditional => "c",
            Self::Unsaid => "?",
        }
    }

    const fn from_letter(letter: u8) -> Self {
        match letter {
            b'-' => Self::Forbidden,
            b'o' => Self::Optional,
            b'm' => Self::Mandatory,
            b'M' => Self::Expected,
            b't' => Self::Stream,
            b'*' => Self::WithBody,
            b'c' => Self::Conditional,
            _ => Self::Unsaid,
        }
    }
}

/// The *where* column: in which messages a row applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Where {
    /// Empty: all requests and responses.
    Any,
    /// `R`: requests.
    Request,
    /// `r`: responses.
    Response,
    /// `c`: copied from the request to the response.
    Copied,
    /// `2xx`, `404,413`, `18x`: responses with a status in one of the ranges, ends included.
    Codes(&'static [(u16, u16)]),
}

impl Where {
    /// Whether the row applies to a request (`None`) or to a response with this status.
    pub fn applies(self, status: Option<u16>) -> bool {
        match (self, status) {
            (Self::Any | Self::Copied, _) | (Self::Request, None) | (Self::Response, Some(_)) => {
                true
            }
            (Self::Codes(ranges), Some(status)) => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&status))
            }
            _ => false,
        }
    }

    /// The column as RFC 3261 prints it.
    pub fn text(self) -> String {
        match self {
            Self::Any => String::new(),
            Self::Request => "R".into(),
            Self::Response => "r".into(),
            Self::Copied => "c".into(),
            Self::Codes(ranges) => ranges
                .iter()
                .map(|(low, high)| match high.saturating_sub(*low) {
                    0 => low.to_string(),
                    9 => format!("{}x", low / 10),
                    99 => format!("{}xx", low / 100),
                    _ => format!("{low}-{high}"),
                })
                .collect::<Vec<_>>()
                .join(","),
        }
    }
}

/// Any 1xx response.
pub const PROVISIONAL: Where = Where::Codes(&[(100, 199)]);
/// Any 2xx response.
pub const SUCCESS: Where = Where::Codes(&[(200, 299)]);
/// Any 3xx response.
pub const REDIRECTION: Where = Where::Codes(&[(300, 399)]);

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The *where* column.
    pub place: Where,
    /// The *proxy* column: any of `a` (add), `m` (modify), `d` (delete), `r` (must read).
    pub proxy: &'static str,
    /// A cell for each of [`COLUMNS`].
    pub cells: [Cell; 14],
    /// Cells for methods that are not among [`COLUMNS`].
    pub others: &'static [(&'static str, Cell)],
}

impl Row {
    /// A row from letters: one a method of [`COLUMNS`], as RFC 3261 prints them, `M` for `m*`;
    /// spaces are passed over, and what is left out stays [`Cell::Unsaid`].
    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "held against the length"))]
    pub const fn new(place: Where, proxy: &'static str, letters: &str) -> Self {
        let mut cells = [Cell::Unsaid; 14];
        let mut filled = 0;
        let mut rest = letters.as_bytes();
        while let [letter, others @ ..] = rest {
            if *letter != b' ' && filled < cells.len() {
                cells[filled] = Cell::from_letter(*letter);
                filled += 1;
            }
            rest = others;
        }
        Self { place, proxy, cells, others: &[] }
    }

    /// The same row with cells for methods that another crate declares.
    #[must_use]
    pub const fn with(mut self, others: &'static [(&'static str, Cell)]) -> Self {
        self.others = others;
        self
    }

    /// What the row says of a method; methods are case-sensitive (RFC 3261 section 7.1).
    pub fn cell(&self, method: &[u8]) -> Cell {
        COLUMNS
            .iter()
            .zip(self.cells)
            .chain(self.others.iter().map(|(name, cell)| (name, *cell)))
            .find(|(name, _)| name.as_bytes() == method)
            .map_or(Cell::Unsaid, |(_, cell)| cell)
    }
}
