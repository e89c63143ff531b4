//! What a dialog's offers and answers are held to.

/// Where offer and answer stand in one dialog.
#[derive(Clone, Debug, Default)]
pub(super) struct Offers {
    /// The session description that we sent last.
    pub(super) sent: Vec<u8>,
}
