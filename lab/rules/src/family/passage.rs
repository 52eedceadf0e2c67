//! What is demanded of the packets' passage, if somebody demands it: no page forbids a filter to hold, reorder or
//! repeat packets.

use crate::event::{Event, Kind, NblPath};
use crate::passage::{Disorder, Passage};
use crate::{Finding, Monitor, Rule, catalogue as rule};

/// What a run is to demand beyond what pages state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// Packets leave in the order in which they came, and once.
    pub ordered: bool,
    /// The most packets of one direction of an adapter that may wait.
    pub hold_limit: Option<u64>,
}

/// Watches what is demanded.
#[derive(Debug, Default)]
pub(crate) struct PassageMonitor {
    demands: Demands,
    passage: Passage,
}

impl PassageMonitor {
    pub(crate) fn new(demands: Demands) -> Self {
        Self {
            demands,
            passage: Passage::default(),
        }
    }
}

impl Monitor for PassageMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        match (self.demands.ordered, self.demands.hold_limit) {
            (false, None) => &[],
            (true, None) => &[&rule::LAB_PACKET_ONCE, &rule::LAB_PACKETS_IN_ORDER],
            (false, Some(_)) => &[&rule::LAB_HOLD_LIMIT],
            (true, Some(_)) => &[
                &rule::LAB_HOLD_LIMIT,
                &rule::LAB_PACKET_ONCE,
                &rule::LAB_PACKETS_IN_ORDER,
            ],
        }
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        if self.demands == Demands::default() {
            return None;
        }
        let disorder = self.passage.observe(event);
        let disorder = disorder.filter(|_| self.demands.ordered);
        disorder
            .map(finding)
            .or_else(|| self.check_waiting(&event.kind))
    }
}

impl PassageMonitor {
    fn check_waiting(&self, kind: &Kind) -> Option<Finding> {
        let limit = self.demands.hold_limit?;
        if !matches!(kind, Kind::Nbl(_) | Kind::Leave { .. }) {
            return None;
        }
        let mut counts = self.passage.counts();
        let ((_, path), count) = counts.find(|(_, count)| count.most_waiting > limit)?;
        let way = match path {
            NblPath::Send => "sends",
            NblPath::Receive => "receives",
        };
        let happened = format!("{} {way} wait, and {limit} may", count.most_waiting);
        Some(Finding::new(&rule::LAB_HOLD_LIMIT, happened))
    }
}

fn finding(disorder: Disorder) -> Finding {
    match disorder {
        Disorder::Overtaken { nbl, by } => Finding::new(
            &rule::LAB_PACKETS_IN_ORDER,
            format!("NBL {nbl:#x} leaves after {by:#x}, which came later"),
        ),
        Disorder::Again { nbl } => Finding::new(
            &rule::LAB_PACKET_ONCE,
            format!("NBL {nbl:#x} has left already, itself or as a copy"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Demands, PassageMonitor};
    use crate::event::{
        Callback, Chain, Content, Event, HandedNbl, Kind, NblCall, NblEvent, NblPath,
    };
    use crate::table::{at, enter, leave};
    use crate::{Monitor, passage::PassageCount};

    fn nbl(event: NblEvent) -> Event {
        at(Kind::Nbl(event))
    }

    fn given(nbls: &[u64]) -> Event {
        nbl(NblEvent::Given {
            adapter: 0,
            path: NblPath::Receive,
            nbls: nbls.to_vec(),
            contents: nbls.iter().map(|nbl| content(*nbl)).collect(),
            low_resources: false,
        })
    }

    fn lent(lists: &[u64]) -> Event {
        nbl(NblEvent::Given {
            adapter: 0,
            path: NblPath::Receive,
            nbls: lists.to_vec(),
            contents: lists.iter().map(|list| content(*list)).collect(),
            low_resources: true,
        })
    }

    fn done(nbls: &[u64]) -> Event {
        nbl(NblEvent::HandlerReturned {
            adapter: 0,
            path: NblPath::Receive,
            nbls: nbls.to_vec(),
        })
    }

    fn lent_back(given: &[u64]) -> Event {
        nbl(NblEvent::LentBack {
            adapter: 0,
            given: given.to_vec(),
            now: given.to_vec(),
        })
    }

    /// Each packet has frames of its own.
    fn content(nbl: u64) -> Content {
        Content {
            buffers: 1,
            frames: Some(nbl),
        }
    }

    /// The filter passes on a copy of a packet.
    fn copy_passed(of: u64) -> Event {
        let Kind::Nbl(mut event) = handed(NblCall::Indicate, &[9]).kind else {
            unreachable!()
        };
        if let NblEvent::Handed { nbls, .. } = &mut event {
            nbls[0].frames = Some(of);
        }
        nbl(event)
    }

    fn handed(call: NblCall, nbls: &[u64]) -> Event {
        nbl(NblEvent::Handed {
            adapter: 0,
            call,
            nbls: nbls
                .iter()
                .map(|nbl| HandedNbl {
                    nbl: *nbl,
                    ..HandedNbl::default()
                })
                .collect(),
            chain: Chain::WellFormed,
            count: None,
            dispatch_flag: false,
            low_resources: false,
            has_return_handler: true,
        })
    }

    fn passed(nbls: &[u64]) -> Event {
        handed(NblCall::Indicate, nbls)
    }

    fn dropped(nbls: &[u64]) -> Event {
        handed(NblCall::Return, nbls)
    }

    fn play(demands: Demands, events: Vec<Event>) -> (Vec<&'static str>, PassageCount) {
        let mut monitor = PassageMonitor::new(demands);
        let findings = events.iter().filter_map(|event| monitor.observe(event));
        let broken = findings.map(|finding| finding.rule.id).collect();
        let count = monitor.passage.counts().next();
        (broken, count.map(|(_, count)| count).unwrap_or_default())
    }

    const ORDERED: Demands = Demands {
        ordered: true,
        hold_limit: None,
    };
    const ORDER: &[&str] = &["lab-packets-in-order"];
    const ONCE: &[&str] = &["lab-packet-once"];

    #[test]
    fn packets_leave_in_order_and_once() {
        let table: Vec<(&str, Vec<Event>, &[&str])> = vec![
            (
                "as they came",
                vec![given(&[1, 2]), done(&[1, 2]), passed(&[1]), passed(&[2])],
                &[],
            ),
            (
                "a chain turned round",
                vec![given(&[1, 2]), passed(&[2, 1])],
                ORDER,
            ),
            (
                "within the call",
                vec![given(&[1, 2]), passed(&[2]), passed(&[1]), done(&[1, 2])],
                ORDER,
            ),
            (
                "after the call",
                vec![
                    given(&[1]),
                    done(&[1]),
                    given(&[2]),
                    passed(&[2]),
                    done(&[2]),
                    passed(&[1]),
                ],
                ORDER,
            ),
            (
                "calls at the same time have no order",
                vec![
                    given(&[1]),
                    given(&[2]),
                    passed(&[2]),
                    passed(&[1]),
                    done(&[1]),
                    done(&[2]),
                ],
                &[],
            ),
            (
                "what is dropped is not in order",
                vec![
                    given(&[1, 2, 3]),
                    done(&[1, 2, 3]),
                    passed(&[3]),
                    dropped(&[1, 2]),
                ],
                &[],
            ),
            (
                "a copy is the packet",
                vec![
                    lent(&[1]),
                    lent_back(&[1]),
                    given(&[2]),
                    passed(&[2]),
                    done(&[2]),
                    copy_passed(1),
                ],
                ORDER,
            ),
            (
                "a copy in its turn",
                vec![
                    lent(&[1]),
                    lent_back(&[1]),
                    given(&[2]),
                    done(&[2]),
                    copy_passed(1),
                    passed(&[2]),
                ],
                &[],
            ),
            (
                "itself and as a copy",
                vec![lent(&[1]), passed(&[1]), lent_back(&[1]), copy_passed(1)],
                ONCE,
            ),
            (
                "a copy that is one of another now",
                vec![
                    lent(&[1]),
                    lent_back(&[1]),
                    given(&[2]),
                    done(&[2]),
                    lent(&[3]),
                    lent_back(&[3]),
                    passed(&[2]),
                    copy_passed(3),
                ],
                &[],
            ),
            (
                "a copy twice",
                vec![lent(&[1]), lent_back(&[1]), copy_passed(1), copy_passed(1)],
                ONCE,
            ),
            (
                "of packets with the same frames nobody knows",
                vec![
                    given(&[1]),
                    given(&[1]),
                    copy_passed(1),
                    copy_passed(1),
                    copy_passed(1),
                ],
                &[],
            ),
            (
                "what the filter makes is none",
                vec![given(&[1]), passed(&[7]), passed(&[1]), passed(&[7])],
                &[],
            ),
        ];
        for (name, events, expected) in table {
            assert_eq!(play(ORDERED, events.clone()).0, expected, "{name}");
            assert!(play(Demands::default(), events).0.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_waits_is_counted_when_nobody_has_it_in_hand() {
        let limited = Demands {
            ordered: false,
            hold_limit: Some(2),
        };
        let (worker, none) = (Callback::NdisIoWorkItemRoutine, None);
        let table: Vec<(&str, Vec<Event>, u64)> = vec![
            (
                "in its handler",
                vec![given(&[1, 2, 3]), passed(&[1, 2, 3]), done(&[1, 2, 3])],
                0,
            ),
            ("all of them", vec![given(&[1, 2, 3]), done(&[1, 2, 3])], 3),
            (
                "some dropped",
                vec![given(&[1, 2, 3]), dropped(&[2]), done(&[1, 2, 3])],
                2,
            ),
            (
                "only lent",
                vec![lent(&[1, 2, 3]), lent_back(&[1, 2, 3])],
                0,
            ),
            (
                "in the hands of a worker",
                vec![
                    given(&[1, 2]),
                    done(&[1, 2]),
                    enter(worker, none),
                    given(&[3]),
                    done(&[3]),
                    passed(&[1]),
                    leave(worker, none, None),
                ],
                2,
            ),
            (
                "left by a worker",
                vec![
                    given(&[1, 2]),
                    enter(worker, none),
                    done(&[1, 2]),
                    leave(worker, none, None),
                ],
                2,
            ),
        ];
        for (name, events, most) in table {
            let (broken, count) = play(limited, events);
            assert_eq!(count.most_waiting, most, "{name}");
            let expected: &[&str] = if most > 2 { &["lab-hold-limit"] } else { &[] };
            assert_eq!(broken, expected, "{name}");
        }
    }

    #[test]
    fn every_packet_leaves_or_does_not() {
        let at_time = |time_ns, event| Event { time_ns, ..event };
        let (_, count) = play(
            ORDERED,
            vec![
                at_time(5, given(&[1, 2, 3])),
                at_time(6, done(&[1, 2, 3])),
                at_time(30, passed(&[1])),
                at_time(45, dropped(&[2])),
                at_time(60, passed(&[3])),
            ],
        );
        assert_eq!((count.given, count.left, count.longest_ns), (3, 2, 55));
    }
}
