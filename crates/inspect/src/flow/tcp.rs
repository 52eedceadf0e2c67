//! The state of a TCP connection, as a bystander can tell it.
//!
//! ```text
//!            SYN                SYN+ACK               ACK
//! (first) ────────▶ SynSent ─────────────▶ SynReceived ───▶ Established
//!    │                                                       │ FIN
//!    └─ anything else ───────────────▶ Established           ▼
//!                                                          Closing ── FIN of the other end ──▶ Closed
//! RST leads from everywhere to Reset; SYN from Closed and Reset to SynSent.
//! ```

use crate::tcp::TcpFlags;

/// What the segments of a connection say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// A SYN was seen.
    SynSent,
    /// A SYN was answered with SYN and ACK.
    SynReceived,
    /// Both ends agreed, or the connection was under way when it was first seen.
    Established,
    /// One end has sent FIN.
    Closing,
    /// Both ends have sent FIN.
    Closed,
    /// An end has sent RST.
    Reset,
}

/// The TCP side of a flow. When ports are used again, the flow goes on and its connection starts anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlow {
    /// State, once a segment was seen.
    state: Option<TcpState>,
    /// All flags that A's segments carried, together, over all connections of the flow.
    pub flags_a: TcpFlags,
    /// All flags that B's carried.
    pub flags_b: TcpFlags,
    /// Nanoseconds from the SYN of the last handshake to the ACK that completed it.
    pub handshake_ns: Option<u64>,
    /// When the SYN of a handshake under way was seen, and whether A sent it.
    opened: Option<(u64, bool)>,
    /// Whether A, B has sent FIN in this connection.
    finished: [bool; 2],
}

impl TcpFlow {
    /// State of the connection.
    #[must_use]
    pub fn state(&self) -> TcpState {
        self.state.unwrap_or(TcpState::Established)
    }

    /// Takes in the flags of one more segment.
    pub(super) fn observe(&mut self, flags: TcpFlags, from_a: bool, now_ns: u64) {
        let seen = if from_a {
            &mut self.flags_a
        } else {
            &mut self.flags_b
        };
        *seen = seen.union(flags);
        self.state = Some(self.next(flags, from_a, now_ns));
    }

    fn next(&mut self, flags: TcpFlags, from_a: bool, now_ns: u64) -> TcpState {
        if flags.contains(TcpFlags::RST) {
            self.opened = None;
            return TcpState::Reset;
        }
        if flags.contains(TcpFlags::SYN) {
            return self.synchronise(flags.contains(TcpFlags::ACK), from_a, now_ns);
        }
        if let Some(TcpState::Reset | TcpState::Closed) = self.state {
            return self.state();
        }
        if flags.contains(TcpFlags::FIN) {
            let [a, b] = &mut self.finished;
            *(if from_a { a } else { b }) = true;
        }
        match self.finished {
            [true, true] => return TcpState::Closed,
            [false, false] => {}
            _ => return TcpState::Closing,
        }
        let opening = matches!(self.state, Some(TcpState::SynSent | TcpState::SynReceived));
        if !opening {
            return TcpState::Established;
        }
        // Only the ACK of the end that began completes the handshake.
        match self.opened {
            Some((_, by_a)) if by_a != from_a => self.state(),
            Some((since_ns, _)) => {
                self.handshake_ns = Some(now_ns.saturating_sub(since_ns));
                self.opened = None;
                TcpState::Established
            }
            None => TcpState::Established,
        }
    }

    fn synchronise(&mut self, acknowledges: bool, from_a: bool, now_ns: u64) -> TcpState {
        match self.state {
            None | Some(TcpState::Closed | TcpState::Reset) => {
                self.finished = [false; 2];
                if acknowledges {
                    // The SYN was not seen, so the handshake cannot be timed.
                    self.opened = None;
                    return TcpState::SynReceived;
                }
                self.opened = Some((now_ns, from_a));
                TcpState::SynSent
            }
            // SYN and ACK, or the SYN of an end that opens at the same time.
            Some(TcpState::SynSent) if self.opened.is_some_and(|(_, by_a)| by_a != from_a) => {
                TcpState::SynReceived
            }
            Some(state) => state,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const FIN_ACK: TcpFlags = TcpFlags::FIN.union(TcpFlags::ACK);
    const SYN_ACK: TcpFlags = TcpFlags::SYN.union(TcpFlags::ACK);
    const RST_ACK: TcpFlags = TcpFlags::RST.union(TcpFlags::ACK);

    /// States after each segment, one nanosecond apart.
    fn play(flow: &mut TcpFlow, segments: &[(bool, TcpFlags)]) -> Vec<TcpState> {
        let observe = |(now_ns, (from_a, flags)): (u64, &(bool, TcpFlags))| {
            flow.observe(*flags, *from_a, now_ns);
            flow.state()
        };
        (0..).zip(segments).map(observe).collect()
    }

    #[test]
    fn whole_life() {
        use TcpState::*;
        let mut flow = TcpFlow::default();
        let segments = [
            (true, TcpFlags::SYN),
            (true, TcpFlags::SYN),
            (false, SYN_ACK),
            (false, SYN_ACK),
            (true, TcpFlags::ACK),
            (false, TcpFlags::ACK),
            (true, FIN_ACK),
            (false, TcpFlags::ACK),
            (false, FIN_ACK),
            (true, TcpFlags::ACK),
        ];
        let states = play(&mut flow, &segments);
        assert_eq!(
            states,
            [
                SynSent,
                SynSent,
                SynReceived,
                SynReceived,
                Established,
                Established,
                Closing,
                Closing,
                Closed,
                Closed
            ]
        );
        assert_eq!(flow.handshake_ns, Some(4));
        assert_eq!(flow.flags_a.bits(), 0x13);
        assert_eq!(flow.flags_b.bits(), 0x13);
        // The same ports again.
        assert_eq!(
            play(&mut flow, &[(false, TcpFlags::SYN), (true, SYN_ACK)]),
            [SynSent, SynReceived]
        );
    }

    #[test]
    fn refused() {
        let mut flow = TcpFlow::default();
        let states = play(
            &mut flow,
            &[
                (true, TcpFlags::SYN),
                (false, RST_ACK),
                (true, TcpFlags::ACK),
            ],
        );
        assert_eq!(
            states,
            [TcpState::SynSent, TcpState::Reset, TcpState::Reset]
        );
        assert_eq!(flow.handshake_ns, None);
    }

    #[test]
    fn seen_in_the_middle() {
        let mut flow = TcpFlow::default();
        assert_eq!(
            play(&mut flow, &[(false, TcpFlags::ACK)]),
            [TcpState::Established]
        );
        let mut flow = TcpFlow::default();
        let states = play(&mut flow, &[(false, SYN_ACK), (true, TcpFlags::ACK)]);
        assert_eq!(states, [TcpState::SynReceived, TcpState::Established]);
        assert_eq!(flow.handshake_ns, None);
    }

    #[test]
    fn opened_by_both() {
        let mut flow = TcpFlow::default();
        let segments = [
            (true, TcpFlags::SYN),
            (false, TcpFlags::SYN),
            (false, TcpFlags::ACK),
            (true, TcpFlags::ACK),
        ];
        use TcpState::*;
        assert_eq!(
            play(&mut flow, &segments),
            [SynSent, SynReceived, SynReceived, Established]
        );
    }

    #[test]
    fn every_sequence_of_four_segments_has_a_state() {
        let flags = [0, 1, 2, 4, 0x10, 0x11, 0x12, 0x14, 0xFF];
        let choices: Vec<_> = flags
            .iter()
            .flat_map(|&bits| [(true, TcpFlags::new(bits)), (false, TcpFlags::new(bits))])
            .collect();
        for a in &choices {
            for b in &choices {
                for c in &choices {
                    for d in &choices {
                        let mut flow = TcpFlow::default();
                        let states = play(&mut flow, &[*a, *b, *c, *d]);
                        let [.., before, last] = states.as_slice() else {
                            unreachable!()
                        };
                        let reset = d.1.contains(TcpFlags::RST);
                        let stays = *before == TcpState::Reset && !d.1.contains(TcpFlags::SYN);
                        assert_eq!(*last == TcpState::Reset, reset || stays);
                    }
                }
            }
        }
    }
}
