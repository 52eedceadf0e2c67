//! Pool: requests, frees, damage, and what is left by tag.

use std::collections::BTreeMap;

use crate::event::{
    Call, Callback, DISPATCH_LEVEL, Event, Exposure, Kind, Lent, PoolEvent, PoolFreeError,
};
use crate::family::irql::level_name;
use crate::family::state::SUCCESS;
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// Follows every pool block of the driver.
#[derive(Debug, Default)]
pub(crate) struct PoolMonitor {
    /// Live blocks: address to size and tag.
    live: BTreeMap<u64, (u64, u32)>,
    /// Threads that are in `FilterAttach`, with what they have allocated there.
    attaching: BTreeMap<u32, Vec<u64>>,
}

impl PoolMonitor {
    fn observe_pool(&mut self, thread: u32, irql: u8, pool: PoolEvent) -> Option<Finding> {
        match pool {
            PoolEvent::Allocated {
                block,
                size,
                tag,
                paged,
            } => {
                self.live.insert(block, (size, tag));
                if let Some(blocks) = self.attaching.get_mut(&thread) {
                    blocks.push(block);
                }
                (paged && irql >= DISPATCH_LEVEL).then(|| {
                    let happened = format!(
                        "paged pool ({}) was asked for at {}",
                        tag_text(tag),
                        level_name(irql)
                    );
                    let bug_check = BugCheck::new(0xC4, &[0x01, irql.into(), 1, size]);
                    Finding::new(&rule::MEM_PAGEABLE_AT_DISPATCH, happened).with(bug_check)
                })
            }
            PoolEvent::BadRequest { size, tag: 0 } => {
                let happened = format!("{size} bytes were asked for without a pool tag");
                Some(
                    Finding::new(&rule::SDV_ALLOC_MEMORY_TAG, happened)
                        .with(BugCheck::new(0xC2, &[0x9B])),
                )
            }
            PoolEvent::BadRequest { size, tag } => {
                let happened = format!("{size} bytes were asked for under tag {}", tag_text(tag));
                let bug_check = BugCheck::new(0xC2, &[0x00, irql.into(), 0, tag.into()]);
                Some(Finding::new(&rule::MEM_ZERO_SIZE, happened).with(bug_check))
            }
            PoolEvent::Freed { block, .. } => {
                self.live.remove(&block);
                None
            }
            PoolEvent::BadFree { address, error } => Some(bad_free(address, error)),
            PoolEvent::Damaged {
                block,
                size,
                tag,
                offset,
            } => {
                let place = if offset < 0 { "before" } else { "behind" };
                let touched = block.wrapping_add_signed(offset);
                let happened = format!(
                    "memory {place} {} was overwritten, at offset {offset}",
                    block_text(block, size, tag)
                );
                Some(
                    Finding::new(&rule::MEM_OVERRUN, happened)
                        .with(BugCheck::new(0xC1, &[block, touched, 0, 0x23])),
                )
            }
            PoolEvent::Exposed {
                block,
                size,
                tag,
                exposure,
                offset,
                length,
            } => {
                let rule = match exposure {
                    Exposure::Frame { .. } => &rule::LAB_POISON_IN_FRAME,
                    Exposure::Irp { .. } | Exposure::Oid { .. } => &rule::LAB_POISON_IN_ANSWER,
                };
                let happened = format!(
                    "{length} bytes at offset {offset} of {exposure} were never written since {} was allocated",
                    block_text(block, size, tag)
                );
                Some(Finding::new(rule, happened))
            }
        }
    }

    /// `FilterAttach` has returned.
    fn check_attach(&mut self, thread: u32, status: Option<u32>) -> Option<Finding> {
        let blocks = self.attaching.remove(&thread)?;
        let block = blocks
            .into_iter()
            .find(|block| self.live.contains_key(block))?;
        let (size, tag) = *self.live.get(&block)?;
        (status != Some(SUCCESS)).then(|| {
            let happened = format!(
                "FilterAttach failed and left {}",
                block_text(block, size, tag)
            );
            Finding::new(&rule::ATTACH_FAILURE_CLEANS_UP, happened).since(Origin::Allocated(block))
        })
    }

    /// What is still allocated, by tag, in one sentence.
    fn left(&self) -> Option<String> {
        let mut tags = BTreeMap::<u32, (u64, u64)>::new();
        for (size, tag) in self.live.values() {
            let (blocks, bytes) = tags.entry(*tag).or_default();
            *blocks += 1;
            *bytes += size;
        }
        let tags: Vec<String> = tags
            .iter()
            .map(|(tag, (blocks, bytes))| {
                format!("{} ({blocks} left, {bytes} bytes)", tag_text(*tag))
            })
            .collect();
        (!tags.is_empty()).then(|| tags.join(", "))
    }
}

impl Monitor for PoolMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::MEM_OVERRUN,
            &rule::MEM_DOUBLE_FREE,
            &rule::MEM_FREE_PAIR,
            &rule::MEM_ZERO_SIZE,
            &rule::SDV_ALLOC_MEMORY_TAG,
            &rule::UNLOAD_POOL_FREED,
            &rule::MEM_PAGEABLE_AT_DISPATCH,
            &rule::REG_FAIL_UNDO,
            &rule::ATTACH_FAILURE_CLEANS_UP,
            &rule::LAB_POISON_IN_FRAME,
            &rule::LAB_POISON_IN_ANSWER,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Pool(pool) => self.observe_pool(event.thread, event.irql, *pool),
            Kind::Enter(Call {
                callback: Callback::FilterAttach,
                ..
            }) => {
                self.attaching.insert(event.thread, Vec::new());
                None
            }
            Kind::Leave {
                call:
                    Call {
                        callback: Callback::FilterAttach,
                        ..
                    },
                status,
            } => self.check_attach(event.thread, *status),
            Kind::Left(left) => {
                let text = self.left()?;
                let block = *self.live.first_key_value()?.0;
                if left.entry_failed {
                    let happened = format!("DriverEntry failed and left pool memory: {text}");
                    return Some(
                        Finding::new(&rule::REG_FAIL_UNDO, happened)
                            .since(Origin::Allocated(block)),
                    );
                }
                let blocks = u64::try_from(self.live.len()).unwrap_or(u64::MAX);
                let bug_check = BugCheck::new(0xC4, &[0x62, 0, 0, blocks]);
                Some(
                    Finding::new(
                        &rule::UNLOAD_POOL_FREED,
                        format!("pool memory is left after unload: {text}"),
                    )
                    .with(bug_check)
                    .since(Origin::Allocated(block)),
                )
            }
            _ => None,
        }
    }
}

fn bad_free(address: u64, error: PoolFreeError) -> Finding {
    match error {
        PoolFreeError::Twice { size, tag } => {
            let happened = format!("{} was freed a second time", block_text(address, size, tag));
            Finding::new(&rule::MEM_DOUBLE_FREE, happened)
                .with(BugCheck::new(0xC2, &[0x07, 0, 0, address]))
        }
        PoolFreeError::Tag { allocated, freed } => {
            let happened = format!(
                "the block at {address:#x} was allocated with tag {} and freed with tag {}",
                tag_text(allocated),
                tag_text(freed)
            );
            let bug_check = BugCheck::new(0xC2, &[0x0A, address, allocated.into(), freed.into()]);
            Finding::new(&rule::MEM_FREE_PAIR, happened).with(bug_check)
        }
        PoolFreeError::Kind => {
            let happened = format!("{address:#x} was freed with the function of another allocator");
            Finding::new(&rule::MEM_FREE_PAIR, happened)
        }
        PoolFreeError::Unknown => {
            let happened = format!("{address:#x} was freed; no block starts there");
            Finding::new(&rule::MEM_DOUBLE_FREE, happened)
                .with(BugCheck::new(0xC4, &[0x10, address]))
        }
    }
}

/// A pool tag as tools show it.
pub(crate) fn tag_text(tag: u32) -> String {
    let text: String = tag
        .to_le_bytes()
        .into_iter()
        .map(|byte| {
            if byte.is_ascii_graphic() || byte == b' ' {
                char::from(byte)
            } else {
                '.'
            }
        })
        .collect();
    format!("'{text}'")
}

/// A block in words.
pub(crate) fn block_text(block: u64, size: u64, tag: u32) -> String {
    if let Some(lent) = Lent::of_tag(tag) {
        return format!("the {} of {size} bytes at {block:#x}", lent.noun());
    }
    format!("the {size}-byte block {} at {block:#x}", tag_text(tag))
}

#[cfg(test)]
mod tests {
    use super::PoolMonitor;
    use crate::event::{Callback, Event, Exposure, Kind, Left, NblCall, PoolEvent, PoolFreeError};
    use crate::table::{at, broken, enter, leave, level};

    const TAG: u32 = u32::from_le_bytes(*b"Dflw");

    fn pool(event: PoolEvent) -> Event {
        at(Kind::Pool(event))
    }

    fn allocated(block: u64) -> Event {
        pool(PoolEvent::Allocated {
            block,
            size: 16,
            tag: TAG,
            paged: false,
        })
    }

    fn freed(block: u64) -> Event {
        pool(PoolEvent::Freed {
            block,
            size: 16,
            tag: TAG,
        })
    }

    #[test]
    fn nothing_leaves_as_it_was_allocated() {
        let exposed = |exposure| {
            pool(PoolEvent::Exposed {
                block: 1,
                size: 16,
                tag: TAG,
                exposure,
                offset: 4,
                length: 8,
            })
        };
        let frame = |call| Exposure::Frame { nbl: 2, call };
        for (exposure, expected) in [
            (frame(NblCall::Send), "lab-poison-in-frame"),
            (frame(NblCall::Indicate), "lab-poison-in-frame"),
            (Exposure::Irp { irp: 2 }, "lab-poison-in-answer"),
            (Exposure::Oid { request: 2 }, "lab-poison-in-answer"),
        ] {
            assert_eq!(
                broken::<PoolMonitor>([allocated(1), exposed(exposure)]),
                [expected]
            );
        }
        assert_eq!(broken::<PoolMonitor>([allocated(1)]), [""; 0]);
    }

    #[test]
    fn a_failed_attach_leaves_nothing() {
        const FAILURE: u32 = 0xC000_0001;
        let attach = |events: &[Event], status| {
            let (first, last) = (
                enter(Callback::FilterAttach, Some(0)),
                leave(Callback::FilterAttach, Some(0), Some(status)),
            );
            broken::<PoolMonitor>([&[first], events, &[last]].concat())
        };
        assert_eq!(attach(&[allocated(1)], 0), [""; 0]);
        assert_eq!(attach(&[allocated(1), freed(1)], FAILURE), [""; 0]);
        assert_eq!(
            attach(&[allocated(1)], FAILURE),
            ["attach-failure-cleans-up"]
        );
    }

    #[test]
    fn blocks_are_followed() {
        let unloaded = || at(Kind::Left(Left::default()));
        let failed = || {
            at(Kind::Left(Left {
                entry_failed: true,
                ..Left::default()
            }))
        };
        let paged = PoolEvent::Allocated {
            block: 8,
            size: 16,
            tag: TAG,
            paged: true,
        };
        let table: Vec<(&str, Vec<Event>, Vec<&str>)> = vec![
            (
                "all freed",
                vec![allocated(1), allocated(2), freed(1), freed(2), unloaded()],
                vec![],
            ),
            (
                "leak",
                vec![allocated(1), allocated(2), freed(1), unloaded()],
                vec!["unload-pool-freed"],
            ),
            (
                "leak of a failed entry",
                vec![allocated(1), failed()],
                vec!["reg-fail-undo"],
            ),
            (
                "twice",
                vec![pool(PoolEvent::BadFree {
                    address: 1,
                    error: PoolFreeError::Twice { size: 16, tag: TAG },
                })],
                vec!["mem-double-free"],
            ),
            (
                "wrong tag",
                vec![pool(PoolEvent::BadFree {
                    address: 1,
                    error: PoolFreeError::Tag {
                        allocated: TAG,
                        freed: 1,
                    },
                })],
                vec!["mem-free-pair"],
            ),
            (
                "another allocator",
                vec![pool(PoolEvent::BadFree {
                    address: 1,
                    error: PoolFreeError::Kind,
                })],
                vec!["mem-free-pair"],
            ),
            (
                "unknown",
                vec![pool(PoolEvent::BadFree {
                    address: 1,
                    error: PoolFreeError::Unknown,
                })],
                vec!["mem-double-free"],
            ),
            (
                "zero bytes",
                vec![pool(PoolEvent::BadRequest { size: 0, tag: TAG })],
                vec!["mem-zero-size"],
            ),
            (
                "no tag",
                vec![pool(PoolEvent::BadRequest { size: 8, tag: 0 })],
                vec!["sdv-alloc-memory-tag"],
            ),
            (
                "underrun",
                vec![pool(PoolEvent::Damaged {
                    block: 64,
                    size: 16,
                    tag: TAG,
                    offset: -4,
                })],
                vec!["mem-overrun"],
            ),
            (
                "paged at DISPATCH_LEVEL",
                vec![level(2, Kind::Pool(paged))],
                vec!["mem-pageable-at-dispatch"],
            ),
            ("paged at PASSIVE_LEVEL", vec![pool(paged)], vec![]),
        ];
        for (name, events, expected) in table {
            assert_eq!(broken::<PoolMonitor>(events), expected, "{name}");
        }
    }
}
