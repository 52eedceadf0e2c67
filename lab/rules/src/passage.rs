//! How packets pass through a filter: in what order they leave, how often, and how many wait in it.
//!
//! A packet is a `NET_BUFFER_LIST` that the filter was given by a send or receive handler. It leaves when the filter
//! passes it on: itself, or a structure of its own with the same frames, which is a copy of it. Where two packets have the
//! same frames, nobody can tell of which of them a copy is: then it is none.

use std::collections::BTreeMap;

use crate::event::{Event, HandedNbl, Kind, NblCall, NblEvent, NblPath};

/// What of packets is wrong, if somebody demands otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disorder {
    /// It left after a packet that had come later: behind it in the same call of the handler, or by a call that began
    /// when the other had returned.
    Overtaken {
        /// The packet.
        nbl: u64,
        /// The one that left before it.
        by: u64,
    },
    /// It left before, itself or as a copy.
    Again {
        /// The packet.
        nbl: u64,
    },
}

/// What came of the packets of one direction of an adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassageCount {
    /// `NET_BUFFER`s that the filter was given.
    pub given: u64,
    /// Those of them that left.
    pub left: u64,
    /// Those that left after later ones.
    pub overtaken: u64,
    /// Those that left once more.
    pub again: u64,
    /// The most that waited at one moment. A packet waits when its handler has returned and it is not handed over; a
    /// moment counts when no other routine of the driver runs than the four handlers of the datapath, so that nobody has
    /// a packet in hand. Copies are not among them: nobody but the filter knows when it drops one.
    pub most_waiting: u64,
    /// The longest virtual time from the handler's call until the packet was handed over, or its copy left, in nanoseconds.
    pub longest_ns: u64,
}

/// One direction of an adapter.
#[derive(Debug, Default)]
struct Way {
    count: PassageCount,
    waiting: u64,
    /// Packets, as structures, that the filter has.
    kept: usize,
    /// The packet that left and came by the latest call, with the moment when that began.
    newest: Option<(u64, usize)>,
}

/// One call of a handler.
#[derive(Debug)]
struct Chain {
    began: u64,
    ended: Option<u64>,
    /// The last of its packets that left: place in the chain, and the packet.
    furthest: Option<(usize, usize)>,
}

/// One packet.
#[derive(Debug)]
struct Packet {
    nbl: u64,
    way: (u32, NblPath),
    buffers: u64,
    since_ns: u64,
    chain: usize,
    place: usize,
    has_left: bool,
    /// The filter has the structure itself, other than on loan.
    is_here: bool,
    waits: bool,
}

impl Packet {
    fn is_kept(&self) -> bool {
        !self.has_left && self.is_here
    }
}

/// Follows all packets.
#[derive(Debug, Default)]
pub struct Passage {
    ways: BTreeMap<(u32, NblPath), Way>,
    chains: Vec<Chain>,
    packets: Vec<Packet>,
    /// The latest packet that a structure was.
    by_nbl: BTreeMap<u64, usize>,
    /// The packet that has such frames; `None` if several have.
    by_frames: BTreeMap<((u32, NblPath), u64), Option<usize>>,
    /// Events so far.
    clock: u64,
    /// Routines that run and may have waiting packets in hand.
    takers: u32,
}

impl Passage {
    /// What came of all packets so far.
    pub fn counts(&self) -> impl Iterator<Item = ((u32, NblPath), PassageCount)> {
        self.ways.iter().map(|(way, state)| (*way, state.count))
    }

    /// Packets of an adapter, as structures, that the filter has.
    #[must_use]
    pub fn kept(&self, adapter: u32) -> usize {
        let of_adapter = |((of, _), _): &(&(u32, NblPath), &Way)| *of == adapter;
        let ways = self.ways.iter().filter(of_adapter);
        ways.map(|(_, way)| way.kept).sum()
    }

    /// Takes an event; tells what is wrong with the first packet of which something is.
    pub fn observe(&mut self, event: &Event) -> Option<Disorder> {
        self.clock += 1;
        match &event.kind {
            Kind::Nbl(nbl) => return self.observe_nbl(nbl, event.time_ns),
            Kind::Enter(call) if !call.callback.has_dispatch_flag() => self.takers += 1,
            Kind::Leave { call, .. } if !call.callback.has_dispatch_flag() => {
                self.takers = self.takers.saturating_sub(1);
                let ways: Vec<_> = self.ways.keys().copied().collect();
                ways.into_iter().for_each(|way| self.look(way));
            }
            _ => {}
        }
        None
    }

    fn observe_nbl(&mut self, event: &NblEvent, time_ns: u64) -> Option<Disorder> {
        match event {
            NblEvent::Given {
                adapter,
                path,
                nbls,
                contents,
                low_resources,
            } => {
                let chain = self.chains.len();
                self.chains.push(Chain {
                    began: self.clock,
                    ended: None,
                    furthest: None,
                });
                for (place, (nbl, content)) in nbls.iter().zip(contents).enumerate() {
                    let packet = Packet {
                        nbl: *nbl,
                        way: (*adapter, *path),
                        buffers: content.buffers.into(),
                        since_ns: time_ns,
                        chain,
                        place,
                        has_left: false,
                        is_here: !low_resources,
                        waits: false,
                    };
                    self.take(packet, content.frames);
                }
                None
            }
            NblEvent::HandlerReturned { nbls, .. } | NblEvent::LentBack { given: nbls, .. } => {
                let packets: Vec<usize> = nbls.iter().filter_map(|nbl| self.packet(*nbl)).collect();
                if let Some(first) = packets.first() {
                    self.chains[self.packets[*first].chain].ended = Some(self.clock);
                }
                for packet in packets {
                    self.change(packet, time_ns, |_| {});
                }
                None
            }
            NblEvent::Handed {
                adapter,
                call,
                nbls,
                ..
            } => {
                let path = match call {
                    NblCall::Send => Some(NblPath::Send),
                    NblCall::Indicate => Some(NblPath::Receive),
                    NblCall::SendComplete | NblCall::Return => None,
                };
                let mut first = None;
                for handed in nbls {
                    if let Some(path) = path
                        && let Some(packet) = self.passed((*adapter, path), handed)
                    {
                        first = first.or(self.leave(packet, time_ns));
                    }
                    if let Some(packet) = self.packet(handed.nbl) {
                        self.change(packet, time_ns, |packet| packet.is_here = false);
                    }
                }
                first
            }
            _ => None,
        }
    }

    fn packet(&self, nbl: u64) -> Option<usize> {
        self.by_nbl.get(&nbl).copied()
    }

    /// The filter is given a packet.
    fn take(&mut self, packet: Packet, frames: Option<u64>) {
        let number = self.packets.len();
        let way = self.ways.entry(packet.way).or_default();
        way.count.given += packet.buffers;
        way.kept += usize::from(packet.is_here);
        if let Some(frames) = frames {
            let with = self.by_frames.entry((packet.way, frames));
            with.and_modify(|packet| *packet = None)
                .or_insert(Some(number));
        }
        self.by_nbl.insert(packet.nbl, number);
        self.packets.push(packet);
    }

    /// The packet that is passed on, itself or as a copy.
    fn passed(&self, way: (u32, NblPath), handed: &HandedNbl) -> Option<usize> {
        let packet = match handed.frames {
            Some(frames) => self.by_frames.get(&(way, frames)).copied()?,
            None => self.packet(handed.nbl),
        };
        packet.filter(|packet| self.packets[*packet].way == way)
    }

    /// A packet leaves.
    fn leave(&mut self, number: usize, time_ns: u64) -> Option<Disorder> {
        let packet = &self.packets[number];
        let (nbl, place, buffers) = (packet.nbl, packet.place, packet.buffers);
        let held_ns = time_ns.saturating_sub(packet.since_ns);
        let way = self.ways.get_mut(&packet.way)?;
        if packet.has_left {
            way.count.again += buffers;
            return Some(Disorder::Again { nbl });
        }
        let chain = self.chains.get_mut(packet.chain)?;
        let is_behind = |(moment, by): (u64, usize)| (chain.ended? < moment).then_some(by);
        let by_later = way.newest.and_then(is_behind);
        let by_next = chain.furthest.filter(|(other, _)| *other > place);
        let by = by_later.or(by_next.map(|(_, by)| by));
        chain.furthest = chain.furthest.max(Some((place, number)));
        way.newest = way.newest.max(Some((chain.began, number)));
        way.count.left += buffers;
        way.count.longest_ns = way.count.longest_ns.max(held_ns);
        way.count.overtaken += by.map_or(0, |_| buffers);
        self.change(number, time_ns, |packet| packet.has_left = true);
        by.map(|by| Disorder::Overtaken {
            nbl,
            by: self.packets[by].nbl,
        })
    }

    /// Changes a packet, and what follows from it for those that wait.
    fn change(&mut self, number: usize, time_ns: u64, change: impl FnOnce(&mut Packet)) {
        let Some(packet) = self.packets.get_mut(number) else {
            return;
        };
        let was_kept = packet.is_kept();
        change(packet);
        let is_kept = packet.is_kept();
        let waits = is_kept && self.chains[packet.chain].ended.is_some();
        let way = self.ways.entry(packet.way).or_default();
        match (packet.waits, waits) {
            (false, true) => way.waiting += packet.buffers,
            (true, false) => way.waiting -= packet.buffers,
            _ => {}
        }
        packet.waits = waits;
        way.kept = way.kept + usize::from(is_kept) - usize::from(was_kept);
        if was_kept && !is_kept {
            let held_ns = time_ns.saturating_sub(packet.since_ns);
            way.count.longest_ns = way.count.longest_ns.max(held_ns);
        }
        let way = packet.way;
        self.look(way);
    }

    /// Looks how many wait, if nobody can have one in hand.
    fn look(&mut self, way: (u32, NblPath)) {
        if self.takers == 0
            && let Some(way) = self.ways.get_mut(&way)
        {
            way.count.most_waiting = way.count.most_waiting.max(way.waiting);
        }
    }
}
