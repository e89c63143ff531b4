//! Typed views of header fields, one for every header field of RFC 3261 section 20 and for those of
//! the first extensions. Made when asked for, and never before: a header field that nobody asks for
//! is not looked at.
//!
//! Where each header field is:
//!
//! | Header field | View |
//! |---|---|
//! | Accept, Content-Type | [`MediaType`] |
//! | Accept-Encoding, Accept-Language, Content-Encoding, Content-Language | [`Weighted`] |
//! | Alert-Info, Call-Info, Error-Info | [`Info`] |
//! | Allow | [`crate::Message::allow`] |
//! | Authentication-Info, Authorization, Proxy-Authenticate, Proxy-Authorization, WWW-Authenticate | [`AuthParams`], [`Credentials`] |
//! | Call-ID, Organization, Priority, Subject | text: [`crate::Message::value`], [`crate::scan::unfold`] |
//! | Contact, From, Path, P-Asserted-Identity, P-Preferred-Identity, Record-Route, Reply-To, Route, Service-Route, To | [`crate::NameAddr`] |
//! | Content-Disposition | [`Disposition`] |
//! | Content-Length, Expires, Max-Forwards, Min-Expires | numbers: methods of [`crate::Message`] |
//! | CSeq | [`crate::CSeq`] |
//! | Date | [`crate::date`] |
//! | In-Reply-To, Proxy-Require, Require, Supported, Unsupported, Request-Disposition | [`crate::Message::values`], [`crate::Message::has_token`] |
//! | MIME-Version | [`mime_version`] |
//! | Reason | [`Reason`] |
//! | Accept-Contact, Reject-Contact | [`Preference`] |
//! | Retry-After | [`RetryAfter`] |
//! | Server, User-Agent | [`products`] |
//! | Timestamp | [`Timestamp`] |
//! | Via | [`crate::Via`] |
//! | Warning | [`Warning`] |

mod auth;
mod media;
mod misc;
#[cfg(test)]
mod tests;

pub use auth::{AuthParams, Credentials};
pub use media::{Disposition, MediaType, Weighted};
pub use misc::{
    Info, Preference, Product, Reason, RetryAfter, Timestamp, Warning, mime_version, products,
};

use crate::{Fault, Message, Method, Name, scan};

/// Views of header fields that have a method of their own.
impl<'a> Message<'a> {
    /// A number of seconds or of anything else: Min-Expires, Max-Breadth, RSeq and their kin.
    pub fn number(&self, name: Name) -> Option<u32> {
        scan::number(self.value(name)?)
    }

    /// The methods of Allow.
    pub fn allow(&self) -> impl Iterator<Item = Method<'a>> + use<'a> {
        self.values(Name::Allow).map(|value| Method::from_bytes(value.bytes))
    }

    /// Accept. Without the header field the caller takes it as `application/sdp`.
    pub fn accept(&self) -> impl Iterator<Item = Result<MediaType<'a>, Fault>> + use<'a> {
        self.values(Name::Accept)
            .map(|value| MediaType::parse(value.bytes).map_err(|f| f.of(Name::Accept)))
    }

    /// Content-Type.
    pub fn content_type(&self) -> Option<Result<MediaType<'a>, Fault>> {
        let value = self.value(Name::ContentType)?;
        Some(MediaType::parse(value).map_err(|f| f.of(Name::ContentType)))
    }

    /// Content-Disposition.
    pub fn content_disposition(&self) -> Option<Result<Disposition<'a>, Fault>> {
        let value = self.value(Name::ContentDisposition)?;
        Some(Disposition::parse(value).map_err(|f| f.of(Name::ContentDisposition)))
    }

    /// Accept-Encoding, Accept-Language, Content-Encoding or Content-Language.
    pub fn weighted(&self, name: Name) -> impl Iterator<Item = Weighted<'a>> + use<'a> {
        self.values(name).map(|value| Weighted::parse(value.bytes))
    }

    /// Alert-Info, Call-Info or Error-Info.
    pub fn infos(&self, name: Name) -> impl Iterator<Item = Result<Info<'a>, Fault>> + use<'a> {
        self.values(name).map(move |value| Info::parse(value.bytes).map_err(|f| f.of(name)))
    }

    /// Challenges (WWW-Authenticate, Proxy-Authenticate) or credentials (Authorization,
    /// Proxy-Authorization), each in a line of its own.
    pub fn credentials(
        &self,
        name: Name,
    ) -> impl Iterator<Item = Result<Credentials<'a>, Fault>> + use<'a> {
        self.fields(name).map(move |field| {
            Credentials::parse(field.value)
                .map_err(|f| f.of(name).shifted(field.span.start as usize))
        })
    }

    /// Authentication-Info.
    pub fn authentication_info(&self) -> Option<AuthParams<'a>> {
        self.value(Name::AuthenticationInfo).map(AuthParams::new)
    }

    /// Date, in seconds since 1970.
    pub fn date(&self) -> Option<u64> {
        crate::date::parse(self.value(Name::Date)?)
    }

    /// Retry-After.
    pub fn retry_after(&self) -> Option<Result<RetryAfter<'a>, Fault>> {
        self.value(Name::RetryAfter).map(RetryAfter::parse)
    }

    /// Timestamp.
    pub fn timestamp(&self) -> Option<Result<Timestamp<'a>, Fault>> {
        self.value(Name::Timestamp).map(Timestamp::parse)
    }

    /// Warning.
    pub fn warnings(&self) -> impl Iterator<Item = Result<Warning<'a>, Fault>> + use<'a> {
        self.values(Name::Warning).map(|value| Warning::parse(value.bytes))
    }

    /// Reason (RFC 3326).
    pub fn reasons(&self) -> impl Iterator<Item = Result<Reason<'a>, Fault>> + use<'a> {
        self.values(Name::Reason).map(|value| Reason::parse(value.bytes))
    }

    /// Accept-Contact or Reject-Contact (RFC 3841).
    pub fn preferences(
        &self,
        name: Name,
    ) -> impl Iterator<Item = Result<Preference<'a>, Fault>> + use<'a> {
        self.values(name).map(move |value| Preference::parse(value.bytes).map_err(|f| f.of(name)))
    }
}
