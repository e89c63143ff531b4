//! RTCP: its packets (RFC 3550 section 6, RFC 3611), what goes into a report, and when one is due.

mod burst;
mod interval;
mod packet;
mod writer;
mod xr;

pub use burst::{Bursts, Metrics};
pub use interval::{Interval, Population};
pub use packet::{Compound, Fault, Packet, Packets, Report, ReportBlock, SdesItems, SenderInfo};
pub use writer::Writer;
pub use xr::{Block, Blocks, Dlrr, VoipMetrics};

/// The packet types of RTCP (RFC 3550 section 12.1, RFC 3611 section 2).
pub mod kind {
    /// Sender report.
    pub const SR: u8 = 200;
    /// Receiver report.
    pub const RR: u8 = 201;
    /// Source description.
    pub const SDES: u8 = 202;
    /// Goodbye.
    pub const BYE: u8 = 203;
    /// Defined by an application.
    pub const APP: u8 = 204;
    /// Extended report.
    pub const XR: u8 = 207;
}

/// The SDES items (RFC 3550 section 12.2).
pub mod item {
    /// The canonical name, which all sources of one end share.
    pub const CNAME: u8 = 1;
    /// The name of the user.
    pub const NAME: u8 = 2;
    /// The program.
    pub const TOOL: u8 = 6;
}
