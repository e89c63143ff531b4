//! The choice of the best response (RFC 3261 section 16.7 step 6).

/// How good a final response is for being passed upstream: the lowest is the best.
///
/// A 6xx wins over everything; else the lowest class does. Among 4xx those come first that tell
/// the client how to try again, among 5xx a 503 comes last since it is not passed on as such.
/// What is left undecided by the RFC goes to the response that came first.
pub fn rank(status: u16) -> u16 {
    match status {
        600..=699 => 0,
        300..=399 => 100,
        401 | 407 => 200,
        415 | 420 | 484 => 210,
        // These tell of the searching and not of the one who was searched.
        408 | 487 => 230,
        400..=499 => 220,
        503 => 310,
        500..=599 => 300,
        _ => 400,
    }
}

/// The status to pass upstream for a best response of `status`: a 503 says that its sender can do
/// nothing at all for now, which is not true of us.
pub fn forwarded(status: u16) -> u16 {
    if status == 503 { 500 } else { status }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(of: &[u16]) -> u16 {
        let mut best = *of.first().unwrap_or(&0);
        for status in of {
            if rank(*status) < rank(best) {
                best = *status;
            }
        }
        best
    }

    #[test]
    fn section_16_7_step_6() {
        // The RFC's own example, then each rule by itself.
        assert_eq!(best(&[503, 407, 501, 404]), 407);
        assert_eq!(best(&[404, 302, 603]), 603);
        assert_eq!(best(&[486, 302]), 302);
        assert_eq!(best(&[500, 486]), 486);
        assert_eq!(best(&[404, 484]), 484);
        assert_eq!(best(&[503, 500]), 500);
        assert_eq!(best(&[408, 486]), 486);
        assert_eq!(best(&[486, 404]), 486);
    }
}
