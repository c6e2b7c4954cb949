//! Who is next on one app: one at a time, and of several pushes that wait, the latest wins.

/// A ticket: the caller's number, and whether a later push takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The caller's number, unique.
    pub id: u64,
    /// A push (or rebuild): replaced by a later one while it waits.
    pub replaceable: bool,
}

/// The queue of one app.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queue {
    running: Option<Ticket>,
    waiting: Vec<Ticket>,
}

/// What became of a ticket that entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entered {
    /// It is its turn.
    Now,
    /// It waits; these waited and were replaced by it.
    Waits {
        /// Tickets that are out.
        replaced: Vec<u64>,
    },
}

impl Queue {
    /// Enters a ticket.
    pub fn enter(&mut self, ticket: Ticket) -> Entered {
        if self.running.is_none() && self.waiting.is_empty() {
            self.running = Some(ticket);
            return Entered::Now;
        }
        let mut replaced = Vec::new();
        if ticket.replaceable {
            replaced = self.waiting.iter().filter(|t| t.replaceable).map(|t| t.id).collect();
            self.waiting.retain(|t| !t.replaceable);
        }
        self.waiting.push(ticket);
        Entered::Waits { replaced }
    }

    /// Takes a ticket out, running or waiting; the one whose turn it is now, if that changed.
    pub fn leave(&mut self, id: u64) -> Option<u64> {
        self.waiting.retain(|t| t.id != id);
        if self.running.is_some_and(|t| t.id == id) {
            self.running = if self.waiting.is_empty() { None } else { Some(self.waiting.remove(0)) };
            return self.running.map(|t| t.id);
        }
        None
    }

    /// Whether nobody runs or waits.
    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_push_wins_and_the_rest_keep_their_order() {
        let push = |id| Ticket { id, replaceable: true };
        let other = |id| Ticket { id, replaceable: false };
        let mut queue = Queue::default();
        assert_eq!(queue.enter(push(1)), Entered::Now);
        assert_eq!(queue.enter(push(2)), Entered::Waits { replaced: vec![] });
        assert_eq!(queue.enter(other(3)), Entered::Waits { replaced: vec![] });
        assert_eq!(queue.enter(push(4)), Entered::Waits { replaced: vec![2] });
        assert_eq!(queue.leave(2), None);
        assert_eq!(queue.leave(1), Some(3));
        assert_eq!(queue.leave(3), Some(4));
        assert_eq!(queue.leave(4), None);
        assert!(queue.is_idle());
    }
}
