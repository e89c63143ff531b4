//! Who acts: the roles that the Guide's table, a rule or a declaration speaks of.

/// One role an element can play towards an extension.
///
/// The Guide's index writes each as a letter: C S P R N B M, and `transport` in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// C: a user agent client.
    Uac,
    /// S: a user agent server.
    Uas,
    /// P: a proxy.
    Proxy,
    /// R: a registrar.
    Registrar,
    /// N: a notifier, or any event server.
    Notifier,
    /// B: a back-to-back user agent or another application server.
    Application,
    /// M: an element that handles media.
    Media,
    /// The transport layer of any element.
    Transport,
}

impl Role {
    /// Every role, in the order that the Guide's index lists them.
    pub const ALL: [Self; 8] = [
        Self::Uac,
        Self::Uas,
        Self::Proxy,
        Self::Registrar,
        Self::Notifier,
        Self::Application,
        Self::Media,
        Self::Transport,
    ];

    /// The name used in listings and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
            Self::Proxy => "proxy",
            Self::Registrar => "registrar",
            Self::Notifier => "notifier",
            Self::Application => "application",
            Self::Media => "media",
            Self::Transport => "transport",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u16);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);
    /// What the Guide's index calls `all`: the four roles that every SIP message meets.
    pub const ALL: Self = Self::of(&[Role::Uac, Role::Uas, Role::Proxy, Role::Registrar]);
    /// A user agent: client and server.
    pub const UA: Self = Self::of(&[Role::Uac, Role::Uas]);
    /// Only a proxy.
    pub const PROXY: Self = Self::of(&[Role::Proxy]);
    /// Only a registrar.
    pub const REGISTRAR: Self = Self::of(&[Role::Registrar]);
    /// Only a user agent client.
    pub const UAC: Self = Self::of(&[Role::Uac]);
    /// Only a user agent server.
    pub const UAS: Self = Self::of(&[Role::Uas]);

    /// The set of the roles given.
    pub const fn of(roles: &[Role]) -> Self {
        let mut bits = 0;
        let mut rest = roles;
        while let [first, others @ ..] = rest {
            bits |= first.bit();
            rest = others;
        }
        Self(bits)
    }

    /// The set that a line of the Guide's index writes, such as `C S P` or `all`.
    ///
    /// `all` is C S P R; a letter that is not known adds nothing.
    pub const fn from_letters(letters: &str) -> Self {
        let mut rest = letters.as_bytes();
        if let [b'a', b'l', b'l', ..] = rest {
            return Self::ALL;
        }
        if let [b't', b'r', ..] = rest {
            return Self::of(&[Role::Transport]);
        }
        let mut bits = 0;
        while let [first, others @ ..] = rest {
            bits |= match *first {
                b'C' => Role::Uac.bit(),
                b'S' => Role::Uas.bit(),
                b'P' => Role::Proxy.bit(),
                b'R' => Role::Registrar.bit(),
                b'N' => Role::Notifier.bit(),
                b'B' => Role::Application.bit(),
                b'M' => Role::Media.bit(),
                _ => 0,
            };
            rest = others;
        }
        Self(bits)
    }

    /// Whether the set holds `role`.
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether the two sets share a role.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether no role is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The roles in the set, in the Guide's order.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}
