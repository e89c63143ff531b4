//! When the next unit is due: an open loop's schedule, which nothing that the server does can move.

use std::time::Duration;

use towel_core::io::Instant;
use towel_core::rng::Rng;

/// How units follow each other in an open loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// At even distances.
    #[default]
    Constant,
    /// Independently of each other, as those of many callers are (a Poisson process).
    Poisson,
}

/// The moments at which units are due: at `rate` a second, after a `ramp` over which the rate grows
/// evenly from nought.
///
/// The k-th unit is due when the integral of the rate reaches k (or, with [`Arrivals::Poisson`],
/// the sum of k exponential variables of mean 1), so that rounding never adds up.
#[derive(Clone, Debug)]
pub struct Schedule {
    began: Instant,
    rate: f64,
    /// Seconds.
    ramp: f64,
    arrivals: Arrivals,
    rng: Rng,
    /// How much of the integral the next unit waits for.
    reached: f64,
    next: Instant,
}

impl Schedule {
    /// A schedule that begins at `began`. A rate that is not above nought is one unit in a million
    /// seconds.
    pub fn new(began: Instant, rate: f64, ramp: Duration, arrivals: Arrivals, rng: Rng) -> Self {
        let rate = if rate > 1e-6 { rate } else { 1e-6 };
        let ramp = ramp.as_secs_f64();
        let mut schedule = Self { began, rate, ramp, arrivals, rng, reached: 0.0, next: began };
        if arrivals == Arrivals::Poisson {
            schedule.advance();
        }
        schedule
    }

    /// When the next unit is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Goes on to the one after it.
    pub fn advance(&mut self) {
        self.reached += match self.arrivals {
            Arrivals::Constant => 1.0,
            Arrivals::Poisson => {
                // 53 bits, never nought, so that the logarithm is finite.
                let uniform = ((self.rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
                -uniform.ln()
            }
        };
        let in_ramp = self.rate * self.ramp / 2.0;
        let seconds = if self.reached < in_ramp {
            (2.0 * self.reached * self.ramp / self.rate).sqrt()
        } else {
            self.ramp + (self.reached - in_ramp) / self.rate
        };
        self.next = self.began + Duration::from_secs_f64(seconds.min(1e9));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(schedule: &mut Schedule, until: Duration) -> Vec<u64> {
        let mut all = Vec::new();
        while schedule.next() < schedule.began + until {
            all.push(schedule.next().since(schedule.began).as_micros() as u64);
            schedule.advance();
        }
        all
    }

    fn schedule(rate: f64, ramp: u64, arrivals: Arrivals) -> Schedule {
        let ramp = Duration::from_secs(ramp);
        Schedule::new(Instant(5_000_000), rate, ramp, arrivals, Rng::from_number(7))
    }

    #[test]
    fn even_distances_do_not_drift() {
        // 3 a second has no exact distance in microseconds, and still 3,000,000 units end after
        // exactly 1,000,000 seconds.
        let mut three = schedule(3.0, 0, Arrivals::Constant);
        assert_eq!(due(&mut three, Duration::from_secs(1)), [0, 333_333, 666_666]);
        for _ in 3..3_000_000 {
            three.advance();
        }
        assert_eq!(three.next(), Instant(5_000_000) + Duration::from_secs(1_000_000));
    }

    #[test]
    fn a_ramp_grows_evenly() {
        let mut ramp = schedule(100.0, 10, Arrivals::Constant);
        let all = due(&mut ramp, Duration::from_secs(12));
        let within = |from: u64, to: u64| {
            all.iter().filter(|at| (from * 1_000_000..to * 1_000_000).contains(at)).count()
        };
        // The integral of the rate over the ramp is 500: 5, 15, 25 ... a second.
        assert_eq!((within(0, 1), within(4, 5), within(9, 10)), (5, 45, 95));
        assert_eq!((within(10, 11), within(11, 12)), (100, 100));
    }

    #[test]
    fn poisson_has_the_rate_and_the_variance_of_poisson() {
        let mut poisson = schedule(1000.0, 0, Arrivals::Poisson);
        let all = due(&mut poisson, Duration::from_secs(100));
        assert!((99_000..101_000).contains(&all.len()), "{}", all.len());
        // Counts in windows of 10 ms have mean 10 and variance 10.
        let mut counts = vec![0f64; 10_000];
        for at in all {
            counts[(at / 10_000) as usize] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / 10_000.0;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / 10_000.0;
        assert!((9.5..10.5).contains(&variance), "{variance}");
        // One seed, one schedule.
        let mut again = schedule(1000.0, 0, Arrivals::Poisson);
        assert_eq!(due(&mut again, Duration::from_secs(1)).len(), {
            let mut other = schedule(1000.0, 0, Arrivals::Poisson);
            due(&mut other, Duration::from_secs(1)).len()
        });
    }
}
