//! What is heard is said again.

use super::{Sink, Source};
use std::sync::{Arc, Mutex};

/// An echo: two ends of one queue, of which one takes what is heard and the other says it again.
/// It holds at most a second; what is older is dropped.
#[derive(Clone, Debug)]
pub struct Echo {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug)]
struct Held {
    samples: std::collections::VecDeque<i16>,
    most: usize,
}

impl Echo {
    /// An echo at this rate. Its clone is the same echo: the one is the sink, the other the source.
    pub fn new(rate: u32) -> Self {
        let most = rate.max(1) as usize;
        let samples = std::collections::VecDeque::with_capacity(most);
        Self { held: Arc::new(Mutex::new(Held { samples, most })) }
    }
}

impl Sink for Echo {
    fn take(&mut self, frame: &[i16]) {
        let mut held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let frame = frame.get(frame.len().saturating_sub(held.most)..).unwrap_or(frame);
        let over = (held.samples.len() + frame.len()).saturating_sub(held.most);
        held.samples.drain(..over);
        held.samples.extend(frame);
    }
}

impl Source for Echo {
    /// Never ends: what has not been heard is silence.
    fn fill(&mut self, frame: &mut [i16]) -> usize {
        let mut held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        frame.iter_mut().for_each(|sample| *sample = held.samples.pop_front().unwrap_or(0));
        frame.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_no_more_than_a_second_is_held() {
        let mut ear = Echo::new(4);
        let mut mouth = ear.clone();
        let mut frame = [9; 3];
        ear.take(&[1, 2]);
        assert_eq!(mouth.fill(&mut frame), 3);
        assert_eq!(frame, [1, 2, 0]);
        ear.take(&[1, 2, 3]);
        ear.take(&[4, 5]);
        mouth.fill(&mut frame);
        assert_eq!(frame, [2, 3, 4]);
        ear.take(&[1, 2, 3, 4, 5, 6, 7]);
        mouth.fill(&mut frame);
        assert_eq!(frame, [4, 5, 6]);
    }
}
