//! Which packets were there already (RFC 3711 section 3.3.2).

/// A window of 128 packets behind the newest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    newest: u64,
    /// Bit n stands for `newest - n`.
    seen: u128,
}

impl Window {
    /// Whether a packet is new and not too old to tell.
    pub(super) fn allows(&self, index: u64) -> bool {
        if self.seen == 0 || index > self.newest {
            return true;
        }
        match self.newest.saturating_sub(index) {
            behind @ 0..128 => self.seen >> behind & 1 == 0,
            _ => false,
        }
    }

    /// Notes a packet that is authentic.
    pub(super) fn note(&mut self, index: u64) {
        if self.seen == 0 {
            (self.newest, self.seen) = (index, 1);
        } else if index > self.newest {
            let ahead = index.saturating_sub(self.newest);
            let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.newest = index;
        } else if let behind @ 0..128 = self.newest.saturating_sub(index) {
            self.seen |= 1 << behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_edges_of_the_window() {
        let mut window = Window::default();
        assert!(window.allows(0));
        window.note(1000);
        assert!(!window.allows(1000));
        assert!(window.allows(1001) && window.allows(873) && !window.allows(872));
        window.note(1128);
        assert!(window.allows(1001) && !window.allows(1000));
    }

    proptest! {
        #[test]
        fn no_packet_passes_twice(indices in proptest::collection::vec(0u64..400, 0..300)) {
            let mut window = Window::default();
            let mut seen = std::collections::HashSet::new();
            let mut newest = 0;
            for index in indices {
                let fresh = !seen.contains(&index) && index + 128 > newest;
                prop_assert_eq!(window.allows(index), fresh);
                if fresh {
                    window.note(index);
                    seen.insert(index);
                    newest = newest.max(index);
                }
            }
        }
    }
}
