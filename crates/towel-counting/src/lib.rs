//! An allocator that counts what is asked of it, for the tests that say what allocates nothing.

#![allow(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The system's allocator, counting how often memory is asked for. Stands as a test's
/// `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting {
    when: fn() -> bool,
    made: AtomicU64,
    held: AtomicI64,
}

impl Counting {
    /// Counts what is asked for while `when` says so. It is called for each allocation, so it must
    /// not allocate itself.
    pub const fn when(when: fn() -> bool) -> Self {
        Self { when, made: AtomicU64::new(0), held: AtomicI64::new(0) }
    }

    /// How many allocations and reallocations there have been.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// How many bytes are held now, whenever they were asked for.
    pub fn held(&self) -> i64 {
        self.held.load(Ordering::Relaxed)
    }

    fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes as i64, Ordering::Relaxed);
    }

    fn count(&self) {
        if (self.when)() {
            self.made.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count();
        self.hold(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.give_back(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count();
        self.hold(size);
        self.give_back(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_counted_when_it_is_to_be() {
        use std::sync::atomic::AtomicBool;
        static ON: AtomicBool = AtomicBool::new(false);
        let counting = Counting::when(|| ON.load(Ordering::Relaxed));
        let layout = Layout::new::<u64>();
        let round = || {
            // SAFETY: the layout is not empty, and what is freed came from here in this layout.
            unsafe {
                let at = counting.alloc(layout);
                let at = counting.realloc(at, layout, 64);
                counting.dealloc(at, Layout::array::<u8>(64).unwrap().align_to(8).unwrap());
            }
        };
        round();
        assert_eq!(counting.made(), 0);
        ON.store(true, Ordering::Relaxed);
        round();
        assert_eq!(counting.made(), 2);
        assert_eq!(counting.held(), 0);
    }
}
