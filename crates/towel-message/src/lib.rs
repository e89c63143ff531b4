//! SIP messages as their bytes: index, views, building, editing, framing.
//!
//! Two levels, never mixed. A *view* borrows the bytes of a received message: [`Index`] finds the
//! lines in one pass, [`Message`] reads them, and [`Via`], [`NameAddr`], [`Uri`] and the types of
//! [`fields`] are made when asked for and not before. What is *owned* is built ([`build`]) or is a
//! list of edits ([`Draft`]) that leaves every byte it was not asked to change.
//!
//! Nothing here reads a clock, a socket, a file or a random number, and no input makes it panic.
//!
//! ```
//! use towel_message::{check, Index, Limits, Message, Name};
//!
//! let bytes = b"OPTIONS sip:ford@example.com SIP/2.0\r\n\
//!     Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK42\r\n\
//!     From: <sip:arthur@example.com>;tag=tea\r\n\
//!     To: <sip:ford@example.com>\r\n\
//!     Call-ID: towel\r\nCSeq: 42 OPTIONS\r\nl: 0\r\n\r\n";
//! let mut index = Index::new();
//! let message = Message::parse(bytes, &mut index, &Limits::default()).unwrap();
//! assert!(check(&message).is_ok());
//! assert_eq!(message.from_tag(), Some(&b"tea"[..]));
//! assert!(message.has(Name::Via));
//! ```

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod body;
pub mod build;
mod check;
mod cseq;
pub mod date;
mod draft;
mod fault;
pub mod fields;
pub mod frame;
mod host;
mod index;
mod kept;
mod limits;
mod message;
mod method;
mod name;
mod name_addr;
mod params;
pub mod scan;
mod span;
mod stops;
pub mod uri;
mod via;

pub use check::{check, check_contacts};
pub use cseq::CSeq;
pub use draft::{Draft, Edits, Mark};
pub use fault::{Fault, ParseError};
pub use host::Host;
pub use index::Index;
pub use limits::Limits;
pub use message::{Field, Fields, Message, Value, Values};
pub use method::Method;
pub use name::{FieldName, Name, Shape};
pub use name_addr::{NameAddr, qvalue};
pub use params::{Param, Params};
pub use span::Span;
pub use uri::{AbsoluteUri, SipUri, TelUri, Uri};
pub use via::Via;
