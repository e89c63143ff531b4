//! Max-Breadth (RFC 5393 section 5): how many branches of one request may be out at once, all
//! proxies on its way taken together.

/// The value that is added where there is none, and the most that is accepted.
pub const USUAL: u32 = 60;

/// The most that is kept back for targets that turn up while others are tried.
const KEPT: u32 = 4;

/// The allowance of one response context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breadth {
    incoming: u32,
    out: u32,
    /// What is kept back for targets that turn up later.
    kept: u32,
}

impl Breadth {
    /// From the request's Max-Breadth, if it has one, and the most that we accept.
    pub fn new(received: Option<u32>, most: u32) -> Self {
        // What we put in ourselves (section 5.3.3) may be a little more than what we give away at
        // first; of what we were given, nothing is kept back.
        let kept = if received.is_some() { 0 } else { (most / 8).min(KEPT) };
        Self { incoming: received.unwrap_or(most).min(most), out: 0, kept }
    }

    /// How many branches could be begun now, each with 1.
    pub fn room(&self) -> u32 {
        self.incoming.saturating_sub(self.out)
    }

    /// A target has turned up: if all is given away it gets some of what was kept back.
    pub fn make_room(&mut self) {
        if self.room() == 0 && self.kept > 0 {
            self.kept -= 1;
            self.incoming += 1;
        }
    }

    /// Whether not even one branch may ever be made.
    pub fn is_nothing(&self) -> bool {
        self.incoming == 0
    }

    /// Takes a share for a branch that is about to be sent, `left` more of its group to follow
    /// it at once. Alone it gets all there is (section 5.3.3: not less than was received).
    pub fn take(&mut self, left: u32) -> u32 {
        let share = self.room().div_ceil(left.saturating_add(1));
        self.out = self.out.saturating_add(share);
        share
    }

    /// A branch has had its final response: its share is free again (section 5.3.3.1).
    pub fn give_back(&mut self, share: u32) {
        self.out = self.out.saturating_sub(share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_branch_gets_all_of_it() {
        let mut breadth = Breadth::new(None, USUAL);
        assert_eq!(breadth.take(0), 60);
        assert_eq!(breadth.room(), 0);
        breadth.give_back(60);
        assert_eq!(breadth.take(0), 60);
    }

    #[test]
    fn parallel_branches_share_and_no_more_than_came_in() {
        let mut breadth = Breadth::new(Some(7), USUAL);
        let shares = [breadth.take(2), breadth.take(1), breadth.take(0)];
        assert_eq!(shares, [3, 2, 2]);
        assert_eq!(breadth.room(), 0);
    }

    #[test]
    fn who_comes_late_finds_room_unless_somebody_else_set_the_limit() {
        let mut breadth = Breadth::new(None, USUAL);
        breadth.take(0);
        for _ in 0..KEPT {
            breadth.make_room();
            assert_eq!(breadth.take(0), 1);
        }
        breadth.make_room();
        assert_eq!(breadth.room(), 0);
        let mut breadth = Breadth::new(Some(60), USUAL);
        breadth.take(0);
        breadth.make_room();
        assert_eq!(breadth.room(), 0);
    }

    #[test]
    fn too_much_is_cut_down() {
        assert_eq!(Breadth::new(Some(1000), USUAL).room(), 60);
        assert!(Breadth::new(Some(0), USUAL).is_nothing());
    }
}
