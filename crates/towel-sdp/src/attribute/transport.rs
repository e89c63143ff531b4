//! How a stream goes: `a=rtcp`, `a=rtcp-mux`, `a=mid`, `a=group`, `a=setup`, `a=connection`,
//! `a=candidate`.

use super::Typed;
use crate::{Connection, Cursor, Fault};

/// `a=rtcp` (RFC 3605): where RTCP is wanted, if not at the port above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp<'d> {
    /// The port.
    pub port: u16,
    /// The address, where it is not that of the `c=`.
    pub connection: Option<Connection<'d>>,
}

impl<'d> Typed<'d> for Rtcp<'d> {
    const NAME: &'static str = "rtcp";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let port = cursor.number("the port of a=rtcp")?;
        let connection = match cursor.is_at_end() {
            true => None,
            false => Some(Connection::read(cursor)?),
        };
        Ok(Self { port, connection })
    }
}

/// `a=rtcp-mux` (RFC 5761 section 5.1.1): RTP and RTCP on one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcpMux;

impl<'d> Typed<'d> for RtcpMux {
    const NAME: &'static str = "rtcp-mux";

    fn read(_: Cursor<'d>) -> Result<Self, Fault> {
        Ok(Self)
    }
}

/// `a=mid` (RFC 5888 section 4): the name of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mid<'d>(pub &'d str);

impl<'d> Typed<'d> for Mid<'d> {
    const NAME: &'static str = "mid";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        cursor.token("a=mid").map(Self)
    }
}

/// `a=group` (RFC 5888 section 5): streams that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'d> {
    /// Why: `LS`, `FID`, `BUNDLE` ...
    pub semantics: &'d str,
    ids: &'d [u8],
}

impl<'d> Group<'d> {
    /// The names of the streams.
    pub fn ids(&self) -> impl Iterator<Item = &'d str> + use<'d> {
        let words = self.ids.split(|b| *b == b' ').filter(|w| !w.is_empty());
        words.filter_map(|w| core::str::from_utf8(w).ok())
    }
}

impl<'d> Typed<'d> for Group<'d> {
    const NAME: &'static str = "group";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let semantics = cursor.token("the semantics of a=group")?;
        let ids = cursor.rest();
        while !cursor.is_at_end() {
            cursor.token("an identification tag of a=group")?;
        }
        Ok(Self { semantics, ids })
    }
}

/// `a=setup` (RFC 4145 section 4): who opens the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setup {
    /// I open it.
    Active,
    /// I wait for it.
    Passive,
    /// Either.
    ActPass,
    /// No connection for now.
    HoldConn,
}

impl Setup {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Active, Self::Passive, Self::ActPass, Self::HoldConn];

    /// The value of the attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }

    /// Whether `self`, offered, may be answered with `answer` (RFC 4145 section 4.1).
    pub const fn allows(self, answer: Self) -> bool {
        matches!(
            (self, answer),
            (Self::Active, Self::Passive | Self::HoldConn)
                | (Self::Passive, Self::Active | Self::HoldConn)
                | (Self::ActPass, Self::Active | Self::Passive | Self::HoldConn)
                | (Self::HoldConn, Self::HoldConn)
        )
    }

    /// What answers `offered` for one who would like `wanted`: that, where it is allowed, and
    /// otherwise what is. To an offer of either, one without a wish opens the connection
    /// (RFC 8122 section 6.2 and 4145 section 4.1 leave the choice).
    pub const fn answer(offered: Self, wanted: Self) -> Self {
        if offered.allows(wanted) {
            return wanted;
        }
        match offered {
            Self::Active => Self::Passive,
            Self::Passive | Self::ActPass => Self::Active,
            Self::HoldConn => Self::HoldConn,
        }
    }
}

impl<'d> Typed<'d> for Setup {
    const NAME: &'static str = "setup";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let place = cursor.at_word();
        let word = cursor.word("the role of a=setup")?;
        let found = Self::ALL.into_iter().find(|role| role.name().eq_ignore_ascii_case(word));
        found.ok_or(place.malformed("the role of a=setup"))
    }
}

/// `a=connection` (RFC 4145 section 5): a new connection, or the one that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionUse {
    /// A new one.
    New,
    /// The one that there is.
    Existing,
}

impl<'d> Typed<'d> for ConnectionUse {
    const NAME: &'static str = "connection";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let place = cursor.at_word();
        match cursor.word("a=connection")? {
            word if word.eq_ignore_ascii_case("new") => Ok(Self::New),
            word if word.eq_ignore_ascii_case("existing") => Ok(Self::Existing),
            _ => Err(place.malformed("a=connection")),
        }
    }
}

/// `a=candidate` (RFC 8839 section 5.1), kept as its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'d>(pub &'d [u8]);

impl<'d> Typed<'d> for Candidate<'d> {
    const NAME: &'static str = "candidate";

    fn read(cursor: Cursor<'d>) -> Result<Self, Fault> {
        match cursor.is_at_end() {
            true => Err(cursor.malformed("a=candidate")),
            false => Ok(Self(cursor.rest())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Setup::{self, *};

    #[test]
    fn every_setup_has_an_answer() {
        for offered in Setup::ALL {
            for wanted in Setup::ALL {
                assert!(offered.allows(Setup::answer(offered, wanted)), "{offered:?} {wanted:?}");
            }
            assert!(!offered.allows(ActPass));
        }
        assert_eq!(Setup::answer(ActPass, ActPass), Active);
        assert_eq!(Setup::answer(ActPass, Passive), Passive);
    }
}
