//! MDLs: who made each one, what its pages are, whether it is mapped.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Event, Import, IrpEvent, Kind, Returned};
use crate::family::count_text;
use crate::family::place::{Place, Places};
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// Which function made an MDL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    Io,
    Ndis,
}

/// What is known of an MDL's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pages {
    Unknown,
    NonPaged,
    Locked,
    Partial,
}

/// One MDL of the driver's.
#[derive(Clone, Copy, Debug)]
struct Mdl {
    maker: Maker,
    pages: Pages,
    is_mapped: bool,
    address: u64,
    length: u64,
}

/// `KernelMode`.
const KERNEL_MODE: u8 = 0;

/// Follows every MDL that the driver makes.
#[derive(Debug, Default)]
pub(crate) struct MdlMonitor {
    places: Places,
    mdls: BTreeMap<u64, Mdl>,
    /// MDLs that nobody is known to have made, whose pages the driver has locked.
    locked: BTreeSet<u64>,
    /// Calls that map an MDL and have not returned: thread and MDL.
    mapping: Vec<(u32, u64)>,
}

impl Monitor for MdlMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::MDL_MAP_LOCKED,
            &rule::MDL_MAP_ONE_THREAD,
            &rule::MDL_BUILD_NOT_PAGEABLE,
            &rule::MDL_BUILD_NO_LOCK,
            &rule::MDL_LOCK_PAIRS,
            &rule::MDL_PARTIAL_SOURCE_LOCKED,
            &rule::MDL_PARTIAL_REUSE,
            &rule::MDL_PARTIAL_NOT_UNMAPPED,
            &rule::MDL_FREE_UNLOCKED,
            &rule::MDL_FREE_CHAIN,
            &rule::MDL_FREE_ALLOCATOR,
            &rule::MDL_NDIS_NONPAGED_POOL_ONLY,
            &rule::SDV_ALLOC_MDL,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        self.places.observe(event);
        match &event.kind {
            Kind::Import(import) => self.check_call(event.thread, import),
            Kind::Returned(returned) => {
                self.take_result(event.thread, returned);
                None
            }
            Kind::Irp(IrpEvent::PagesLocked {
                mdl,
                address,
                length,
            }) => {
                let locked = Mdl {
                    maker: Maker::Io,
                    pages: Pages::Locked,
                    is_mapped: false,
                    address: *address,
                    length: *length,
                };
                self.mdls.insert(*mdl, locked);
                None
            }
            Kind::Left(_) => self.check_left(),
            _ => None,
        }
    }
}

impl MdlMonitor {
    fn take_result(&mut self, thread: u32, returned: &Returned) {
        let given = &returned.arguments;
        let mdl = |maker, pages, address, length| Mdl {
            maker,
            pages,
            is_mapped: false,
            address,
            length,
        };
        let new = match returned.name {
            "IoAllocateMdl" => mdl(
                Maker::Io,
                Pages::Unknown,
                given.word(0),
                given.dword(1).into(),
            ),
            "NdisAllocateMdl" => mdl(
                Maker::Ndis,
                Pages::NonPaged,
                given.word(1),
                given.dword(2).into(),
            ),
            "MmMapLockedPagesSpecifyCache" => {
                self.mapping.retain(|(mapping, _)| *mapping != thread);
                return;
            }
            // It gives nothing back: this is the status that it has raised.
            "MmProbeAndLockPages" => {
                let mdl = self.mdls.get_mut(&given.word(0));
                if let Some(mdl) = mdl.filter(|_| returned.result != 0) {
                    mdl.pages = Pages::Unknown;
                } else if returned.result != 0 {
                    self.locked.remove(&given.word(0));
                }
                return;
            }
            _ => return,
        };
        if returned.result != 0 {
            self.mdls.insert(returned.result, new);
        }
    }

    fn check_call(&mut self, thread: u32, import: &Import) -> Option<Finding> {
        let given = &import.arguments;
        let address = given.word(0);
        let fail = |rule, why: &str| {
            Some(Finding::new(
                rule,
                format!("{} was given MDL {address:#x}: {why}", import.name),
            ))
        };
        let stop = |finding: Option<Finding>, code| {
            finding.map(|finding| finding.with(BugCheck::new(0xC4, &[code, address])))
        };
        match import.name {
            "NdisAllocateMdl" => return self.check_range(given.word(1), given.dword(2).into()),
            "MmUnmapLockedPages" => {
                if let Some(mdl) = self.mdls.get_mut(&given.word(1)) {
                    mdl.is_mapped = false;
                }
                return None;
            }
            "IoBuildPartialMdl" => {
                return self.check_partial(
                    address,
                    given.word(1),
                    given.word(2),
                    given.dword(3).into(),
                );
            }
            _ => {}
        }
        let not_locked = "the driver has not locked its pages";
        let Some(mdl) = self.mdls.get_mut(&address) else {
            return match import.name {
                "MmProbeAndLockPages" if !self.locked.insert(address) => {
                    fail(&rule::MDL_LOCK_PAIRS, "its pages are locked")
                }
                "MmUnlockPages" if !self.locked.remove(&address) => {
                    fail(&rule::MDL_LOCK_PAIRS, not_locked)
                }
                _ => None,
            };
        };
        match (import.name, mdl.pages) {
            ("MmBuildMdlForNonPagedPool", Pages::Locked) => {
                stop(fail(&rule::MDL_BUILD_NO_LOCK, "its pages are locked"), 0xB0)
            }
            ("MmBuildMdlForNonPagedPool", _) => {
                mdl.pages = Pages::NonPaged;
                match self.places.of(mdl.address) {
                    Place::Paged => stop(
                        fail(&rule::MDL_BUILD_NOT_PAGEABLE, "it describes paged pool"),
                        0x7F,
                    ),
                    Place::Stack => fail(&rule::MDL_BUILD_NOT_PAGEABLE, "it describes a stack"),
                    Place::NonPaged { .. } | Place::Other => None,
                }
            }
            ("MmProbeAndLockPages", Pages::NonPaged) => stop(
                fail(&rule::MDL_BUILD_NO_LOCK, "it was built for nonpaged pool"),
                0xB0,
            ),
            ("MmProbeAndLockPages", Pages::Locked) => {
                fail(&rule::MDL_LOCK_PAIRS, "its pages are locked")
            }
            ("MmProbeAndLockPages", _) => {
                mdl.pages = Pages::Locked;
                None
            }
            ("MmUnlockPages", Pages::NonPaged) => stop(
                fail(&rule::MDL_BUILD_NO_LOCK, "it was built for nonpaged pool"),
                0x7D,
            ),
            ("MmUnlockPages", Pages::Partial) => stop(
                fail(&rule::MDL_PARTIAL_NOT_UNMAPPED, "it is a partial MDL"),
                0xB4,
            ),
            ("MmUnlockPages", Pages::Unknown) => fail(&rule::MDL_LOCK_PAIRS, not_locked),
            ("MmUnlockPages", _) => {
                (mdl.pages, mdl.is_mapped) = (Pages::Unknown, false);
                None
            }
            ("MmMapLockedPagesSpecifyCache", pages) => {
                mdl.is_mapped = true;
                let is_elsewhere =
                    |(other, mapped): &(u32, u64)| *other != thread && *mapped == address;
                if self.mapping.iter().any(is_elsewhere) {
                    return fail(&rule::MDL_MAP_ONE_THREAD, "another thread is mapping it");
                }
                self.mapping.push((thread, address));
                match pages {
                    Pages::Unknown => stop(
                        fail(&rule::MDL_MAP_LOCKED, "its pages are not locked"),
                        0xB2,
                    ),
                    // For user mode they are mapped in any case.
                    Pages::NonPaged if given.word(1) as u8 == KERNEL_MODE => stop(
                        fail(&rule::MDL_BUILD_NO_LOCK, "it was built for nonpaged pool"),
                        0xB1,
                    ),
                    Pages::NonPaged | Pages::Locked | Pages::Partial => None,
                }
            }
            ("IoFreeMdl", pages) => {
                let mdl = self.mdls.remove(&address)?;
                if mdl.maker == Maker::Ndis {
                    return fail(&rule::MDL_FREE_ALLOCATOR, "NdisAllocateMdl made it");
                }
                (pages == Pages::Locked)
                    .then(|| {
                        stop(
                            fail(&rule::MDL_FREE_UNLOCKED, "its pages are still locked"),
                            0xB8,
                        )
                    })
                    .flatten()
            }
            ("NdisFreeMdl", _) => {
                let mdl = self.mdls.remove(&address)?;
                (mdl.maker == Maker::Io)
                    .then(|| fail(&rule::MDL_FREE_ALLOCATOR, "IoAllocateMdl made it"))
                    .flatten()
            }
            _ => None,
        }
    }

    /// The memory that `NdisAllocateMdl` is to describe.
    fn check_range(&self, address: u64, length: u64) -> Option<Finding> {
        let place = self.places.of(address);
        let what = match place {
            Place::Paged => "paged pool",
            Place::Stack => "a stack",
            Place::NonPaged { end, .. } if address.saturating_add(length) > end => {
                "more than one pool block"
            }
            Place::NonPaged { .. } | Place::Other => return None,
        };
        let happened =
            format!("NdisAllocateMdl was given {length} bytes at {address:#x}, which is {what}");
        let finding = Finding::new(&rule::MDL_NDIS_NONPAGED_POOL_ONLY, happened);
        Some(if matches!(place, Place::Paged) {
            finding.with(BugCheck::new(0xC4, &[0x7F]))
        } else {
            finding
        })
    }

    fn check_partial(
        &mut self,
        source: u64,
        target: u64,
        address: u64,
        length: u64,
    ) -> Option<Finding> {
        let from = self.mdls.get(&source).copied();
        let mut was_mapped = false;
        if let Some(into) = self.mdls.get_mut(&target) {
            was_mapped = into.is_mapped;
            into.pages = Pages::Partial;
            (into.address, into.length) = (address, length);
        }
        if let Some(from) = from {
            let end = from.address.saturating_add(from.length);
            let is_inside = address >= from.address && address.saturating_add(length) <= end;
            let why = if from.pages == Pages::Unknown {
                "pages are not locked"
            } else if length != 0 && !is_inside {
                "memory does not hold the part"
            } else {
                ""
            };
            if !why.is_empty() {
                let happened = format!("IoBuildPartialMdl was given MDL {source:#x}, whose {why}");
                return Some(Finding::new(&rule::MDL_PARTIAL_SOURCE_LOCKED, happened));
            }
        }
        was_mapped.then(|| {
            let happened =
                format!("IoBuildPartialMdl was given MDL {target:#x}, which is still mapped");
            Finding::new(&rule::MDL_PARTIAL_REUSE, happened)
        })
    }

    fn check_left(&self) -> Option<Finding> {
        let (address, mdl) = self.mdls.first_key_value()?;
        let rule = match mdl.maker {
            Maker::Io => &rule::MDL_FREE_CHAIN,
            Maker::Ndis => &rule::SDV_ALLOC_MDL,
        };
        let happened = format!(
            "{} left after unload, first {address:#x}",
            count_text(self.mdls.len(), "MDL")
        );
        Some(Finding::new(rule, happened).since(Origin::Allocated(*address)))
    }
}

#[cfg(test)]
mod tests {
    use super::MdlMonitor;
    use crate::event::{Event, IrpEvent, Kind, Left, Loaded, PoolEvent};
    use crate::table::{at, check, import, on, returned};

    const MDL: u64 = 0x9000;
    const PART: u64 = 0xA000;
    const BUFFER: u64 = 0x1000;

    fn pool(paged: bool) -> Event {
        at(Kind::Pool(PoolEvent::Allocated {
            block: BUFFER,
            size: 0x100,
            tag: 1,
            paged,
        }))
    }

    fn io() -> Event {
        returned("IoAllocateMdl", &[BUFFER, 0x100], MDL)
    }

    fn part() -> Event {
        returned("IoAllocateMdl", &[BUFFER, 0x10], PART)
    }

    fn ndis() -> Event {
        returned("NdisAllocateMdl", &[1, BUFFER, 0x100], MDL)
    }

    fn call(name: &'static str) -> Event {
        import(name, &[MDL])
    }

    fn build() -> Event {
        call("MmBuildMdlForNonPagedPool")
    }

    fn given() -> Event {
        at(Kind::Irp(IrpEvent::PagesLocked {
            mdl: MDL,
            address: BUFFER,
            length: 64,
        }))
    }

    fn lock() -> Event {
        call("MmProbeAndLockPages")
    }

    fn map() -> Event {
        call("MmMapLockedPagesSpecifyCache")
    }

    fn divide(address: u64) -> Event {
        import("IoBuildPartialMdl", &[MDL, PART, address, 0x10])
    }

    #[test]
    fn mdls_are_followed() {
        let left = || at(Kind::Left(Left::default()));
        let stacks = at(Kind::Loaded(Loaded {
            stacks: (BUFFER, BUFFER + 0x1000),
            ..Loaded::default()
        }));
        let map_part = || import("MmMapLockedPagesSpecifyCache", &[PART]);
        let mapped = || returned("MmMapLockedPagesSpecifyCache", &[MDL], 1);
        check::<MdlMonitor>(vec![
            (
                "pool",
                vec![pool(false), io(), build(), call("IoFreeMdl"), left()],
                vec![],
            ),
            (
                "paged pool",
                vec![pool(true), io(), build()],
                vec!["mdl-build-not-pageable"],
            ),
            (
                "stack",
                vec![stacks, io(), build()],
                vec!["mdl-build-not-pageable"],
            ),
            (
                "locked twice",
                vec![io(), build(), lock()],
                vec!["mdl-build-no-lock"],
            ),
            (
                "locked, mapped, unlocked",
                vec![
                    io(),
                    lock(),
                    map(),
                    mapped(),
                    call("MmUnlockPages"),
                    call("IoFreeMdl"),
                ],
                vec![],
            ),
            ("mapped bare", vec![io(), map()], vec!["mdl-map-locked"]),
            (
                "freed locked",
                vec![io(), lock(), call("IoFreeMdl")],
                vec!["mdl-free-unlocked"],
            ),
            (
                "freed after a lock that failed",
                vec![
                    io(),
                    lock(),
                    returned("MmProbeAndLockPages", &[MDL], 0xC000_0005),
                    call("IoFreeMdl"),
                ],
                vec![],
            ),
            (
                "mapped after a lock that failed",
                vec![
                    io(),
                    lock(),
                    returned("MmProbeAndLockPages", &[MDL], 0xC000_0005),
                    map(),
                ],
                vec!["mdl-map-locked"],
            ),
            (
                "nonpaged pool mapped for user mode",
                vec![
                    io(),
                    build(),
                    import("MmMapLockedPagesSpecifyCache", &[MDL, 1]),
                ],
                vec![],
            ),
            (
                "nonpaged pool mapped for the system",
                vec![
                    io(),
                    build(),
                    import("MmMapLockedPagesSpecifyCache", &[MDL, 0]),
                ],
                vec!["mdl-build-no-lock"],
            ),
            (
                "locked by the system for the driver",
                vec![given(), call("MmUnlockPages"), call("IoFreeMdl")],
                vec![],
            ),
            (
                "locked by the system and freed locked",
                vec![given(), call("IoFreeMdl")],
                vec!["mdl-free-unlocked"],
            ),
            (
                "unlocked twice",
                vec![io(), lock(), call("MmUnlockPages"), call("MmUnlockPages")],
                vec!["mdl-lock-pairs"],
            ),
            (
                "locked while locked",
                vec![io(), lock(), lock()],
                vec!["mdl-lock-pairs"],
            ),
            (
                "unlocked for another",
                vec![call("MmUnlockPages")],
                vec!["mdl-lock-pairs"],
            ),
            (
                "in storage of its own",
                vec![lock(), call("MmUnlockPages"), lock()],
                vec![],
            ),
            (
                "in storage of its own, unlocked after a lock that failed",
                vec![
                    lock(),
                    returned("MmProbeAndLockPages", &[MDL], 0xC000_0005),
                    call("MmUnlockPages"),
                ],
                vec!["mdl-lock-pairs"],
            ),
            (
                "mapped by two",
                vec![io(), lock(), map(), on(2, map().kind)],
                vec!["mdl-map-one-thread"],
            ),
            (
                "mapped one after the other",
                vec![io(), lock(), map(), mapped(), on(2, map().kind)],
                vec![],
            ),
            (
                "partial",
                vec![io(), part(), lock(), divide(BUFFER), map_part()],
                vec![],
            ),
            (
                "partial of nothing",
                vec![io(), part(), divide(BUFFER)],
                vec!["mdl-partial-source-locked"],
            ),
            (
                "partial outside",
                vec![io(), part(), lock(), divide(BUFFER + 0xF8)],
                vec!["mdl-partial-source-locked"],
            ),
            (
                "partial reused",
                vec![
                    io(),
                    part(),
                    lock(),
                    divide(BUFFER),
                    map_part(),
                    divide(BUFFER + 16),
                ],
                vec!["mdl-partial-reuse"],
            ),
            (
                "partial unlocked",
                vec![
                    io(),
                    part(),
                    lock(),
                    divide(BUFFER),
                    import("MmUnlockPages", &[PART]),
                ],
                vec!["mdl-partial-not-unmapped"],
            ),
            ("left", vec![io(), build(), left()], vec!["mdl-free-chain"]),
            ("left of NDIS", vec![ndis(), left()], vec!["sdv-alloc-mdl"]),
            (
                "NDIS's own",
                vec![ndis(), call("NdisFreeMdl"), left()],
                vec![],
            ),
            (
                "wrong function",
                vec![ndis(), call("IoFreeMdl")],
                vec!["mdl-free-allocator"],
            ),
            (
                "wrong function of NDIS",
                vec![io(), build(), call("NdisFreeMdl")],
                vec!["mdl-free-allocator"],
            ),
            (
                "NDIS, within a block",
                vec![pool(false), import("NdisAllocateMdl", &[1, BUFFER, 0x100])],
                vec![],
            ),
            (
                "NDIS, across a block",
                vec![pool(false), import("NdisAllocateMdl", &[1, BUFFER, 0x101])],
                vec!["mdl-ndis-nonpaged-pool-only"],
            ),
        ]);
    }
}
