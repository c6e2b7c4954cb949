//! Which target gets a request. Pure.

/// What is known of a target when a request comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) in_flight: u32,
    /// It refused a moment ago: only taken if there is no other.
    pub(crate) avoided: bool,
    /// This request was already there.
    pub(crate) tried: bool,
}

/// The index of the least busy target; ties go round robin from `start`.
pub(crate) fn choose(targets: &[Standing], start: usize) -> Option<usize> {
    let count = targets.len();
    (0..count)
        .map(|n| (start % count + n) % count)
        .filter_map(|n| targets.get(n).map(|t| (n, t)))
        .filter(|(_, t)| !t.tried)
        .min_by_key(|(_, t)| (t.avoided, t.in_flight))
        .map(|(n, _)| n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(targets: &str, start: usize, want: Option<usize>) {
        // A digit is requests in flight, a following `a` avoided, `t` tried.
        let mut list: Vec<Standing> = vec![];
        for c in targets.chars() {
            match c {
                'a' => list.last_mut().unwrap().avoided = true,
                't' => list.last_mut().unwrap().tried = true,
                d => list.push(Standing { in_flight: d.to_digit(10).unwrap(), avoided: false, tried: false }),
            }
        }
        assert_eq!(choose(&list, start), want, "{targets} from {start}");
    }

    #[test]
    fn least_busy_then_round_robin() {
        check("", 0, None);
        check("0", 5, Some(0));
        check("000", 0, Some(0));
        check("000", 1, Some(1));
        check("000", 5, Some(2));
        check("210", 0, Some(2));
        check("0a5", 0, Some(1));
        check("0a5a", 0, Some(0));
        check("0t5", 0, Some(1));
        check("0t5t", 0, None);
        check("000", usize::MAX, Some(0));
    }
}
