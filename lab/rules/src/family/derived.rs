//! NET_BUFFER_LISTs made from others, their contexts, pools and buffers: who frees what, how.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Event, HandedNbl, Import, Kind, NblEvent, NblPath, Returned};
use crate::{Finding, Monitor, Origin, Rule, catalogue as rule};

/// `MEMORY_ALLOCATION_ALIGNMENT`.
const ALIGNMENT: u32 = 16;

/// How a structure was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    Plain,
    Clone,
    Fragment,
    Reassembled,
}

impl Make {
    /// Tells by the function that makes it.
    fn by(name: &str) -> Option<Self> {
        Some(match name {
            "NdisAllocateNetBufferList" | "NdisAllocateNetBufferAndNetBufferList" => Self::Plain,
            "NdisAllocateCloneNetBufferList" => Self::Clone,
            "NdisAllocateFragmentNetBufferList" => Self::Fragment,
            "NdisAllocateReassembledNetBufferList" => Self::Reassembled,
            _ => return None,
        })
    }

    /// What that is, in words.
    fn noun(self) -> &'static str {
        match self {
            Self::Plain => "a list of its own",
            Self::Clone => "a clone",
            Self::Fragment => "a fragment",
            Self::Reassembled => "a reassembled list",
        }
    }

    /// Tells by the function that frees it.
    fn freed_by(name: &str) -> Option<Self> {
        Some(match name {
            "NdisFreeNetBufferList" => Self::Plain,
            "NdisFreeCloneNetBufferList" => Self::Clone,
            "NdisFreeFragmentNetBufferList" => Self::Fragment,
            "NdisFreeReassembledNetBufferList" => Self::Reassembled,
            _ => return None,
        })
    }
}

/// One structure of the driver's.
#[derive(Clone, Copy, Debug)]
struct Made {
    make: Make,
    parent: u64,
    flags: u32,
}

/// Follows what the driver makes with the functions of NET_BUFFER pools.
#[derive(Debug, Default)]
pub(crate) struct DerivedMonitor {
    made: BTreeMap<u64, Made>,
    /// Those of them that have a parent: parent and child.
    children: BTreeSet<(u64, u64)>,
    /// Context areas that the driver has added: NBL to how many.
    contexts: BTreeMap<u64, u32>,
    /// NET_BUFFERs that were allocated by themselves, and the pool of each.
    buffers: BTreeMap<u64, u64>,
    /// Pools of the driver's: whether each makes a NET_BUFFER with every list, and its data size.
    pools: BTreeMap<u64, (bool, u32)>,
    /// Retreats of NET_BUFFERs with an allocate handler of the driver's, and those that failed.
    retreats: BTreeMap<u64, bool>,
    refused: BTreeSet<u64>,
    /// Where a foreign structure came from.
    given: BTreeMap<u64, NblPath>,
    /// The high bytes of cancel ids that NDIS gave the driver, one a call.
    cancel_bytes: BTreeSet<u8>,
}

impl Monitor for DerivedMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::DERIVED_FREE_API_MATCH,
            &rule::CLONE_FREE_FLAGS_MATCH,
            &rule::NBL_CHILDREN_FREED_FIRST,
            &rule::NBL_PARENT_RETAINED,
            &rule::NBL_CONTEXT_BALANCED,
            &rule::NBL_CONTEXT_PREALLOC_NOT_FREED,
            &rule::CLONE_COPY_RIGHT_DIRECTION,
            &rule::NBL_FREE_PREALLOCATED_ONCE,
            &rule::SDV_ALLOC_NETBUFFER,
            &rule::CANCEL_ID_HIGH_BYTE,
            &rule::POOL_PARAMETERS,
            &rule::POOL_ALLOC_KIND,
            &rule::POOL_FREED_AFTER_NBLS,
            &rule::NB_RETREAT_STATUS,
            &rule::NB_ADVANCE_FREE_HANDLER,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Returned(Returned {
                name: "NdisRetreatNetBufferDataStart",
                arguments,
                result,
            }) => {
                let nb = arguments.word(0);
                if result & 0xFFFF_FFFF == 0 {
                    self.retreats.insert(nb, arguments.word(3) != 0);
                    self.refused.remove(&nb);
                } else {
                    self.refused.insert(nb);
                }
                None
            }
            Kind::Nbl(NblEvent::PoolAllocated {
                pool,
                protocol_id,
                allocates_buffer,
                context_size,
                tag,
                data_size,
            }) => {
                self.pools.insert(*pool, (*allocates_buffer, *data_size));
                let why = if *protocol_id != 0 {
                    "ProtocolId is not NDIS_PROTOCOL_ID_DEFAULT"
                } else if *tag == 0 {
                    "PoolTag is 0"
                } else if context_size % ALIGNMENT != 0 {
                    "ContextSize is no multiple of MEMORY_ALLOCATION_ALIGNMENT"
                } else if *data_size != 0 && !allocates_buffer {
                    "there is a DataSize without fAllocateNetBuffer"
                } else {
                    return None;
                };
                let happened = format!("NdisAllocateNetBufferListPool: {why}");
                Some(Finding::new(&rule::POOL_PARAMETERS, happened))
            }
            Kind::Returned(returned) if returned.result != 0 => {
                self.take_result(returned);
                None
            }
            Kind::Import(import) => self.check_call(import),
            Kind::Nbl(NblEvent::Given { path, nbls, .. }) => {
                self.given.extend(nbls.iter().map(|nbl| (*nbl, *path)));
                None
            }
            Kind::Nbl(NblEvent::Handed { nbls, .. }) => {
                nbls.iter().find_map(|handed| self.check_handed(handed))
            }
            Kind::Left(_) => {
                let (buffer, _) = self.buffers.first_key_value()?;
                let happened = format!("NET_BUFFER {buffer:#x} is left after unload");
                let finding = Finding::new(&rule::SDV_ALLOC_NETBUFFER, happened);
                Some(finding.since(Origin::Allocated(*buffer)))
            }
            _ => None,
        }
    }
}

impl DerivedMonitor {
    fn take_result(&mut self, returned: &Returned) {
        let given = &returned.arguments;
        match returned.name {
            "NdisAllocateNetBuffer" | "NdisAllocateNetBufferMdlAndData" => {
                self.buffers.insert(returned.result, given.word(0));
            }
            "NdisGeneratePartialCancelId" => {
                self.cancel_bytes.insert((returned.result & 0xFF) as u8);
            }
            name => {
                let Some(make) = Make::by(name) else { return };
                let (parent, flags) = match make {
                    Make::Plain => (0, 0),
                    Make::Clone => (given.word(0), given.dword(3)),
                    Make::Fragment => (given.word(0), 0),
                    Make::Reassembled => (given.word(0), 0),
                };
                let made = Made {
                    make,
                    parent,
                    flags,
                };
                self.made.insert(returned.result, made);
                if parent != 0 {
                    self.children.insert((parent, returned.result));
                }
            }
        }
    }

    fn check_call(&mut self, import: &Import) -> Option<Finding> {
        let given = &import.arguments;
        let nbl = given.word(0);
        let fail = |rule, why: String| {
            Some(Finding::new(
                rule,
                format!("{} was given {nbl:#x}: {why}", import.name),
            ))
        };
        match import.name {
            "NdisFreeNetBuffer" => {
                return (self.buffers.remove(&nbl).is_none())
                    .then(|| {
                        let why = "it came with its NBL, or was freed before".into();
                        fail(&rule::NBL_FREE_PREALLOCATED_ONCE, why)
                    })
                    .flatten();
            }
            "NdisAllocateNetBufferAndNetBufferList" => {
                let (makes_both, data_size) = *self.pools.get(&nbl)?;
                return (!makes_both || data_size != 0)
                    .then(|| {
                        let why = "a pool without fAllocateNetBuffer, or with data of its own";
                        fail(&rule::POOL_ALLOC_KIND, why.into())
                    })
                    .flatten();
            }
            "NdisAllocateNetBuffer" | "NdisAllocateNetBufferMdlAndData" => {
                let (_, data_size) = *self.pools.get(&nbl)?;
                let wants_data = import.name.ends_with("Data");
                return (wants_data != (data_size != 0))
                    .then(|| {
                        let why = if wants_data {
                            "a pool without data"
                        } else {
                            "a pool whose NET_BUFFERs come with data"
                        };
                        fail(&rule::POOL_ALLOC_KIND, why.into())
                    })
                    .flatten();
            }
            "NdisFreeNetBufferPool" => {
                let is_left = |(_, pool): &(&u64, &u64)| **pool == nbl;
                let (buffer, _) = self.buffers.iter().find(is_left)?;
                let why = format!("its NET_BUFFER {buffer:#x} is not freed");
                return fail(&rule::POOL_FREED_AFTER_NBLS, why);
            }
            "NdisAdvanceNetBufferDataStart" => {
                if self.refused.remove(&nbl) {
                    let why = "its retreat had failed".into();
                    return fail(&rule::NB_RETREAT_STATUS, why);
                }
                let has_own = self.retreats.remove(&nbl)?;
                let frees_mdl = given.byte(2) != 0;
                return (has_own && frees_mdl && given.word(3) == 0)
                    .then(|| {
                        let why = "a handler of the driver's allocated its MDL, and none frees it";
                        fail(&rule::NB_ADVANCE_FREE_HANDLER, why.into())
                    })
                    .flatten();
            }
            "NdisAllocateNetBufferListContext" => {
                *self.contexts.entry(nbl).or_default() += 1;
                return None;
            }
            "NdisFreeNetBufferListContext" => {
                let count = self.contexts.entry(nbl).or_default();
                if *count == 0 {
                    let why = "it has no context that was allocated for it alone".into();
                    return fail(&rule::NBL_CONTEXT_PREALLOC_NOT_FREED, why);
                }
                *count -= 1;
                return None;
            }
            "NdisCopySendNetBufferListInfo" | "NdisCopyReceiveNetBufferListInfo" => {
                let source = given.word(1);
                let wanted = if import.name.contains("Send") {
                    NblPath::Send
                } else {
                    NblPath::Receive
                };
                let path = *self.given.get(&source)?;
                return (path != wanted)
                    .then(|| {
                        let why = format!("its source travels the other way ({path})");
                        fail(&rule::CLONE_COPY_RIGHT_DIRECTION, why)
                    })
                    .flatten();
            }
            _ => {}
        }
        let freed_as = Make::freed_by(import.name)?;
        let made = self.made.remove(&nbl)?;
        self.children.remove(&(made.parent, nbl));
        if made.make != freed_as {
            let why = format!("it was made as {}", made.make.noun());
            return fail(&rule::DERIVED_FREE_API_MATCH, why);
        }
        if freed_as == Make::Clone && given.dword(1) != made.flags {
            let why = format!(
                "its flags are {:#x}, and {:#x} when it was made",
                given.dword(1),
                made.flags
            );
            return fail(&rule::CLONE_FREE_FLAGS_MATCH, why);
        }
        if let Some(child) = self.child_of(nbl) {
            let why = format!("its child {child:#x} is still there");
            return fail(&rule::NBL_CHILDREN_FREED_FIRST, why);
        }
        self.contexts
            .remove(&nbl)
            .filter(|count| *count > 0)
            .and_then(|_| {
                let why = "context that was allocated for it was not freed".into();
                fail(&rule::NBL_CONTEXT_BALANCED, why)
            })
    }

    fn child_of(&self, nbl: u64) -> Option<u64> {
        let mut children = self.children.range((nbl, 0)..=(nbl, u64::MAX));
        children.next().map(|(_, child)| *child)
    }

    /// A structure leaves the driver.
    fn check_handed(&self, handed: &HandedNbl) -> Option<Finding> {
        let (nbl, id) = (handed.nbl, handed.facts.cancel_id);
        // The pages leave open whether the id has 32 or 64 bits.
        let is_high = |byte: &u8| [id >> 24, id >> 56].contains(&u64::from(*byte));
        if !self.cancel_bytes.is_empty()
            && self.made.contains_key(&nbl)
            && id != 0
            && !self.cancel_bytes.iter().any(is_high)
        {
            let happened = format!(
                "NBL {nbl:#x} has cancel id {id:#x}, whose high byte NdisGeneratePartialCancelId did not give"
            );
            return Some(Finding::new(&rule::CANCEL_ID_HIGH_BYTE, happened));
        }
        let child = self.child_of(nbl)?;
        let happened = format!("NBL {nbl:#x} was handed over while its child {child:#x} is there");
        Some(Finding::new(&rule::NBL_PARENT_RETAINED, happened))
    }
}

#[cfg(test)]
mod tests {
    use super::DerivedMonitor;
    use crate::event::{
        Chain, Content, Event, HandedNbl, Kind, Left, NblCall, NblEvent, NblFacts, NblPath,
    };
    use crate::table::{at, check, import, returned};

    const NBL: u64 = 0x100;
    const CLONE: u64 = 0x200;

    fn clone() -> Event {
        returned("NdisAllocateCloneNetBufferList", &[NBL, 1, 2, 3], CLONE)
    }

    fn free_clone(flags: u64) -> Event {
        import("NdisFreeCloneNetBufferList", &[CLONE, flags])
    }

    fn own() -> Event {
        returned("NdisAllocateNetBufferList", &[1, 0, 0], NBL)
    }

    fn given(path: NblPath) -> Event {
        at(Kind::Nbl(NblEvent::Given {
            adapter: 0,
            path,
            nbls: vec![NBL],
            contents: vec![Content::default()],
            low_resources: false,
        }))
    }

    fn hand(nbl: u64) -> Event {
        hand_list(HandedNbl {
            nbl,
            ..HandedNbl::default()
        })
    }

    fn hand_with_id(cancel_id: u64) -> Event {
        hand_list(HandedNbl {
            nbl: NBL,
            facts: NblFacts {
                cancel_id,
                ..NblFacts::default()
            },
            ..HandedNbl::default()
        })
    }

    fn hand_list(handed: HandedNbl) -> Event {
        at(Kind::Nbl(NblEvent::Handed {
            adapter: 0,
            call: NblCall::Send,
            nbls: vec![handed],
            chain: Chain::WellFormed,
            count: None,
            dispatch_flag: false,
            low_resources: false,
            has_return_handler: true,
        }))
    }

    #[test]
    fn derived_lists_are_followed() {
        let free = || import("NdisFreeNetBufferList", &[NBL]);
        let free_fragment = || import("NdisFreeFragmentNetBufferList", &[CLONE]);
        let left = || at(Kind::Left(Left::default()));
        let context = || import("NdisAllocateNetBufferListContext", &[NBL, 16, 0, 1]);
        let free_context = || import("NdisFreeNetBufferListContext", &[NBL, 16]);
        let buffer = || returned("NdisAllocateNetBuffer", &[1, 2, 3, 4], 0x300);
        let free_buffer = || import("NdisFreeNetBuffer", &[0x300]);
        let copy = || import("NdisCopySendNetBufferListInfo", &[CLONE, NBL]);
        let partial = |byte| returned("NdisGeneratePartialCancelId", &[], byte);
        check::<DerivedMonitor>(vec![
            (
                "whole",
                vec![own(), clone(), free_clone(3), hand(NBL), free()],
                vec![],
            ),
            (
                "flags",
                vec![clone(), free_clone(1)],
                vec!["clone-free-flags-match"],
            ),
            (
                "function",
                vec![clone(), free_fragment()],
                vec!["derived-free-api-match"],
            ),
            (
                "parent freed",
                vec![own(), clone(), free()],
                vec!["nbl-children-freed-first"],
            ),
            (
                "parent handed over",
                vec![clone(), hand(NBL)],
                vec!["nbl-parent-retained"],
            ),
            ("child handed over", vec![clone(), hand(CLONE)], vec![]),
            (
                "context",
                vec![own(), context(), free_context(), free()],
                vec![],
            ),
            (
                "context kept",
                vec![own(), context(), free()],
                vec!["nbl-context-balanced"],
            ),
            (
                "context of the pool",
                vec![own(), free_context()],
                vec!["nbl-context-prealloc-not-freed"],
            ),
            ("copy", vec![given(NblPath::Send), copy()], vec![]),
            (
                "copy the other way",
                vec![given(NblPath::Receive), copy()],
                vec!["clone-copy-right-direction"],
            ),
            ("buffer", vec![buffer(), free_buffer(), left()], vec![]),
            (
                "buffer left",
                vec![buffer(), left()],
                vec!["sdv-alloc-netbuffer"],
            ),
            (
                "buffer not its own",
                vec![free_buffer()],
                vec!["nbl-free-preallocated-once"],
            ),
            (
                "cancel id",
                vec![partial(7), own(), hand_with_id(0x0700_0001)],
                vec![],
            ),
            (
                "cancel id of an earlier call",
                vec![partial(7), partial(9), own(), hand_with_id(0x0700_0001)],
                vec![],
            ),
            (
                "cancel id of its own",
                vec![partial(7), own(), hand_with_id(0x0800_0001)],
                vec!["cancel-id-high-byte"],
            ),
        ]);
    }

    #[test]
    fn pools_and_data_are_followed() {
        let pool = |protocol_id, allocates_buffer, context_size, tag, data_size| {
            at(Kind::Nbl(NblEvent::PoolAllocated {
                pool: 1,
                protocol_id,
                allocates_buffer,
                context_size,
                tag,
                data_size,
            }))
        };
        let both = || import("NdisAllocateNetBufferAndNetBufferList", &[1, 0, 0]);
        let alone = || import("NdisAllocateNetBuffer", &[1, 0, 0, 0]);
        let free_alone = || import("NdisFreeNetBuffer", &[9]);
        let data = || import("NdisAllocateNetBufferMdlAndData", &[1]);
        let free_pool = || import("NdisFreeNetBufferPool", &[1]);
        let retreat = |handler, result| {
            returned(
                "NdisRetreatNetBufferDataStart",
                &[5, 14, 0, handler],
                result,
            )
        };
        let advance = |handler| import("NdisAdvanceNetBufferDataStart", &[5, 14, 1, handler]);
        check::<DerivedMonitor>(vec![
            ("both", vec![pool(0, true, 16, 1, 0), both()], vec![]),
            (
                "lists alone",
                vec![pool(0, false, 0, 1, 0), both()],
                vec!["pool-alloc-kind"],
            ),
            (
                "with data",
                vec![pool(0, true, 0, 1, 64), both()],
                vec!["pool-alloc-kind"],
            ),
            (
                "NET_BUFFERs",
                vec![
                    pool(0, true, 0, 1, 0),
                    alone(),
                    returned("NdisAllocateNetBuffer", &[1, 0, 0, 0], 9),
                    free_alone(),
                    free_pool(),
                ],
                vec![],
            ),
            (
                "NET_BUFFERs with data",
                vec![pool(0, true, 0, 1, 64), alone()],
                vec!["pool-alloc-kind"],
            ),
            (
                "no data",
                vec![pool(0, true, 0, 1, 0), data()],
                vec!["pool-alloc-kind"],
            ),
            (
                "pool before its NET_BUFFER",
                vec![
                    pool(0, true, 0, 1, 64),
                    data(),
                    returned("NdisAllocateNetBufferMdlAndData", &[1], 9),
                    free_pool(),
                ],
                vec!["pool-freed-after-nbls"],
            ),
            (
                "protocol",
                vec![pool(6, true, 0, 1, 0)],
                vec!["pool-parameters"],
            ),
            (
                "no tag",
                vec![pool(0, true, 0, 0, 0)],
                vec!["pool-parameters"],
            ),
            (
                "odd context",
                vec![pool(0, true, 8, 1, 0)],
                vec!["pool-parameters"],
            ),
            (
                "data without buffer",
                vec![pool(0, false, 0, 1, 64)],
                vec!["pool-parameters"],
            ),
            ("moved and back", vec![retreat(0, 0), advance(0)], vec![]),
            ("own handlers", vec![retreat(7, 0), advance(8)], vec![]),
            (
                "own handler once",
                vec![retreat(7, 0), advance(0)],
                vec!["nb-advance-free-handler"],
            ),
            (
                "failed",
                vec![retreat(0, 0xC000_009A), advance(0)],
                vec!["nb-retreat-status"],
            ),
        ]);
    }
}
