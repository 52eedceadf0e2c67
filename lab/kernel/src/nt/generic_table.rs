//! Generic tables: ordered sets whose comparison, allocation and freeing are the driver's. Those of both kinds, with
//! splay trees and with AVL trees, are kept as treaps: the nodes have no room for more than three pointers, and a
//! node's place among its kin follows from its address alone.
//!
//! Nothing of the lab's is held while one of the driver's routines runs.

use super::{imports, list};
use crate::rt::mem::{self, Field};
use crate::rt::{self, Call};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlInitializeGenericTable => initialize::<S>,
    RtlInitializeGenericTableAvl => initialize::<A>,
    RtlInsertElementGenericTable => insert::<S>,
    RtlInsertElementGenericTableAvl => insert::<A>,
    RtlInsertElementGenericTableFull => insert_at::<S>,
    RtlInsertElementGenericTableFullAvl => insert_at::<A>,
    RtlLookupElementGenericTable => look_up::<S>,
    RtlLookupElementGenericTableAvl => look_up::<A>,
    RtlLookupElementGenericTableFull => look_up_place::<S>,
    RtlLookupElementGenericTableFullAvl => look_up_place::<A>,
    RtlDeleteElementGenericTable => delete::<S>,
    RtlDeleteElementGenericTableAvl => delete::<A>,
    RtlEnumerateGenericTable => enumerate::<S>,
    RtlEnumerateGenericTableAvl => enumerate::<A>,
    RtlEnumerateGenericTableWithoutSplaying => enumerate_by_key::<S>,
    RtlEnumerateGenericTableWithoutSplayingAvl => enumerate_by_key::<A>,
    RtlGetElementGenericTable => inserted,
    RtlGetElementGenericTableAvl => ordered,
    RtlIsGenericTableEmpty => is_empty::<S>,
    RtlIsGenericTableEmptyAvl => is_empty::<A>,
    RtlNumberGenericTableElements => count::<S>,
    RtlNumberGenericTableElementsAvl => count::<A>,
}

/// `RTL_GENERIC_TABLE` and `RTL_AVL_TABLE`.
const S: bool = false;
const A: bool = true;

// What a node begins with.
const PARENT: Field<u64> = Field::at(0);
const LEFT: Field<u64> = Field::at(8);
const RIGHT: Field<u64> = Field::at(16);
/// The order of insertion, where nodes are in a list of it.
const INSERTED: u64 = 24;
/// `GenericLessThan`, `GenericGreaterThan`.
const LESS: u32 = 0;
const GREATER: u32 = 1;
/// `TableEmptyTree`, `TableFoundNode`, `TableInsertAsLeft`, `TableInsertAsRight`.
const EMPTY: u32 = 0;
const FOUND: u32 = 1;
const AS_LEFT: u32 = 2;
const AS_RIGHT: u32 = 3;

/// A table of the driver's; `AVL` tells which kind.
#[derive(Clone, Copy)]
struct Table<const AVL: bool>(u64);

/// Where a search has ended: at this node, and how that is.
#[derive(Clone, Copy)]
struct Place {
    node: u64,
    result: u32,
}

impl<const AVL: bool> Table<AVL> {
    /// Bytes of a table, and of what is before an element.
    const SIZE: usize = if AVL { 104 } else { 72 };
    const HEADER: u64 = if AVL { 32 } else { 40 };
    const ROOT: Field<u64> = Field::at(if AVL { 16 } else { 0 });
    const COUNT: Field<u32> = Field::at(if AVL { 44 } else { 36 });
    /// Where an enumeration is.
    const CURRENT: Field<u64> = Field::at(if AVL { 56 } else { 24 });
    const ROUTINES: u64 = if AVL { 72 } else { 40 };

    /// `CompareRoutine`, `AllocateRoutine`, `FreeRoutine`, `TableContext`.
    fn routine(index: u64) -> Field<u64> {
        Field::at(Self::ROUTINES + 8 * index)
    }

    fn root(self) -> u64 {
        Self::ROOT.read(self.0).or_fault()
    }

    fn count(self) -> u32 {
        Self::COUNT.read(self.0).or_fault()
    }

    /// The head of the list of nodes in the order of insertion.
    fn list(self) -> u64 {
        self.0.wrapping_add(8)
    }

    /// What a function gives for a node.
    fn element(node: u64) -> u64 {
        if node == 0 { 0 } else { node + Self::HEADER }
    }

    /// Where the element is that equals what is at `key`, or would be.
    fn search(self, key: u64) -> Place {
        let compare = Self::routine(0).read(self.0).or_fault();
        let mut place = Place {
            node: self.root(),
            result: if self.root() == 0 { EMPTY } else { FOUND },
        };
        while place.result != EMPTY {
            let order = rt::call_driver(compare, &[self.0, key, place.node + Self::HEADER]);
            let (result, side) = match order as u32 {
                LESS => (AS_LEFT, LEFT),
                GREATER => (AS_RIGHT, RIGHT),
                _ => (FOUND, PARENT),
            };
            place.result = result;
            let next = if result == FOUND {
                0
            } else {
                side.read(place.node).or_fault()
            };
            if next == 0 {
                break;
            }
            place.node = next;
        }
        place
    }

    /// Puts `child` in the place of `old` below what is above that.
    fn replace(self, above: u64, old: u64, child: u64) {
        if above == 0 {
            Self::ROOT.write(self.0, child).or_fault();
        } else if LEFT.read(above).or_fault() == old {
            LEFT.write(above, child).or_fault();
        } else {
            RIGHT.write(above, child).or_fault();
        }
        if child != 0 {
            PARENT.write(child, above).or_fault();
        }
    }

    /// Turns a node and its parent, so that it is above.
    fn lift(self, node: u64) {
        let parent = PARENT.read(node).or_fault();
        let above = PARENT.read(parent).or_fault();
        let (near, far) = if LEFT.read(parent).or_fault() == node {
            (LEFT, RIGHT)
        } else {
            (RIGHT, LEFT)
        };
        let inner = far.read(node).or_fault();
        near.write(parent, inner).or_fault();
        if inner != 0 {
            PARENT.write(inner, parent).or_fault();
        }
        self.replace(above, parent, node);
        far.write(node, parent).or_fault();
        PARENT.write(parent, node).or_fault();
    }

    /// Adds what is at `key` at the place where a search for it has ended; 0 where there is no memory.
    fn add(self, place: Place, key: u64, size: u32) -> u64 {
        let allocate = Self::routine(1).read(self.0).or_fault();
        let bytes = Self::HEADER + u64::from(size);
        let node = rt::call_driver(allocate, &[self.0, bytes]);
        if node == 0 {
            return 0;
        }
        mem::fill(node, Self::HEADER as usize, 0).or_fault();
        mem::copy(node + Self::HEADER, key, size as usize).or_fault();
        match place.result {
            EMPTY => Self::ROOT.write(self.0, node).or_fault(),
            AS_LEFT => LEFT.write(place.node, node).or_fault(),
            _ => RIGHT.write(place.node, node).or_fault(),
        }
        PARENT
            .write(node, if place.result == EMPTY { 0 } else { place.node })
            .or_fault();
        for lifted in 0.. {
            let parent = PARENT.read(node).or_fault();
            if parent == 0 || rank(parent) >= rank(node) {
                break;
            }
            if lifted > self.count() {
                list::corrupt();
            }
            self.lift(node);
        }
        if !AVL {
            list::link(list::before(self.list()), node + INSERTED);
        }
        Self::COUNT.write(self.0, self.count() + 1).or_fault();
        node
    }

    fn remove(self, node: u64) {
        // An enumeration goes on behind what was before it.
        if Self::CURRENT.read(self.0).or_fault() == node {
            Self::CURRENT
                .write(self.0, self.step(node, RIGHT, LEFT))
                .or_fault();
        }
        let mut lifted = 0;
        loop {
            let children = [LEFT, RIGHT].map(|side| side.read(node).or_fault());
            match children {
                [0, only] | [only, 0] => {
                    self.replace(PARENT.read(node).or_fault(), node, only);
                    break;
                }
                [a, b] => {
                    if lifted > self.count() {
                        list::corrupt();
                    }
                    lifted += 1;
                    self.lift(if rank(a) > rank(b) { a } else { b });
                }
            }
        }
        if !AVL {
            list::unlink(node + INSERTED);
        }
        Self::COUNT.write(self.0, self.count() - 1).or_fault();
        let free = Self::routine(2).read(self.0).or_fault();
        rt::call_driver(free, &[self.0, node]);
    }

    /// The node behind another, or the first.
    fn next(self, node: u64) -> u64 {
        match (node, self.root()) {
            (0, 0) => 0,
            (0, root) => self.last(root, |node| LEFT.read(node).or_fault()),
            (node, _) => self.step(node, LEFT, RIGHT),
        }
    }

    /// Where a way from a node ends. It is no longer than there are nodes.
    fn last(self, node: u64, way: impl Fn(u64) -> u64) -> u64 {
        let mut at = node;
        for _ in 0..=self.count() {
            match way(at) {
                0 => return at,
                next => at = next,
            }
        }
        list::corrupt()
    }

    /// The next node towards a side; 0 for none.
    fn step(self, node: u64, from: Field<u64>, towards: Field<u64>) -> u64 {
        let below = towards.read(node).or_fault();
        if below != 0 {
            return self.last(below, |node| from.read(node).or_fault());
        }
        // Up, as long as it is from that side.
        let top = self.last(node, |node| {
            let above = PARENT.read(node).or_fault();
            let is_from_there = above != 0 && from.read(above).or_fault() != node;
            if is_from_there { above } else { 0 }
        });
        PARENT.read(top).or_fault()
    }
}

/// What decides which of two nodes is above the other.
fn rank(node: u64) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mixed = (node >> 4).wrapping_mul(FACTOR);
    (mixed ^ mixed >> 32).wrapping_mul(FACTOR)
}

fn initialize<const AVL: bool>(call: &Call<'_>) -> u64 {
    let table = Table::<AVL>(call.arg(0));
    mem::fill(table.0, Table::<AVL>::SIZE, 0).or_fault();
    for index in 0..4 {
        let routine = call.arg(1 + index as usize);
        Table::<AVL>::routine(index)
            .write(table.0, routine)
            .or_fault();
    }
    if AVL {
        // The root's parent is the table itself.
        PARENT.write(table.0, table.0).or_fault();
    } else {
        list::clear(table.list());
    }
    0
}

fn insert<const AVL: bool>(call: &Call<'_>) -> u64 {
    let (table, key) = (Table::<AVL>(call.arg(0)), call.arg(1));
    let place = table.search(key);
    put(table, place, call)
}

fn insert_at<const AVL: bool>(call: &Call<'_>) -> u64 {
    let place = Place {
        node: call.arg(4),
        result: call.arg_u32(5),
    };
    put(Table::<AVL>(call.arg(0)), place, call)
}

/// Adds an element unless there is one like it; tells which it was.
fn put<const AVL: bool>(table: Table<AVL>, place: Place, call: &Call<'_>) -> u64 {
    let (key, size, is_new) = (call.arg(1), call.arg_u32(2), call.arg(3));
    let node = if place.result == FOUND {
        place.node
    } else {
        table.add(place, key, size)
    };
    if is_new != 0 {
        let is_added = place.result != FOUND && node != 0;
        mem::write(is_new, u8::from(is_added)).or_fault();
    }
    Table::<AVL>::element(node)
}

/// The node of the element that equals what is at an address.
fn find<const AVL: bool>(call: &Call<'_>) -> Option<u64> {
    let place = Table::<AVL>(call.arg(0)).search(call.arg(1));
    (place.result == FOUND).then_some(place.node)
}

fn look_up<const AVL: bool>(call: &Call<'_>) -> u64 {
    find::<AVL>(call).map_or(0, Table::<AVL>::element)
}

fn look_up_place<const AVL: bool>(call: &Call<'_>) -> u64 {
    let place = Table::<AVL>(call.arg(0)).search(call.arg(1));
    if place.result != EMPTY {
        mem::write(call.arg(2), place.node).or_fault();
    }
    mem::write(call.arg(3), place.result).or_fault();
    match place.result {
        FOUND => Table::<AVL>::element(place.node),
        _ => 0,
    }
}

fn delete<const AVL: bool>(call: &Call<'_>) -> u64 {
    let found = find::<AVL>(call);
    if let Some(node) = found {
        Table::<AVL>(call.arg(0)).remove(node);
    }
    u64::from(found.is_some())
}

fn enumerate<const AVL: bool>(call: &Call<'_>) -> u64 {
    let table = Table::<AVL>(call.arg(0));
    let current = if call.arg_u8(1) != 0 {
        0
    } else {
        Table::<AVL>::CURRENT.read(table.0).or_fault()
    };
    let node = table.next(current);
    if node != 0 {
        Table::<AVL>::CURRENT.write(table.0, node).or_fault();
    }
    Table::<AVL>::element(node)
}

fn enumerate_by_key<const AVL: bool>(call: &Call<'_>) -> u64 {
    let key = call.arg(1);
    let current = mem::read(key).or_fault();
    let node = Table::<AVL>(call.arg(0)).next(current);
    if node != 0 {
        mem::write(key, node).or_fault();
    }
    Table::<AVL>::element(node)
}

/// An element by its number in the order of insertion.
fn inserted(call: &Call<'_>) -> u64 {
    let (table, index) = (Table::<S>(call.arg(0)), call.arg_u32(1));
    if index >= table.count() {
        return 0;
    }
    let first = list::next_of(table.list());
    let entry = (0..index).fold(first, |entry, _| list::next_of(entry));
    Table::<S>::element(entry - INSERTED)
}

/// An element by its number in the table's order.
fn ordered(call: &Call<'_>) -> u64 {
    let (table, index) = (Table::<A>(call.arg(0)), call.arg_u32(1));
    if index >= table.count() {
        return 0;
    }
    let node = (0..=index).fold(0, |node, _| table.next(node));
    Table::<A>::element(node)
}

fn is_empty<const AVL: bool>(call: &Call<'_>) -> u64 {
    u64::from(Table::<AVL>(call.arg(0)).count() == 0)
}

fn count<const AVL: bool>(call: &Call<'_>) -> u64 {
    Table::<AVL>(call.arg(0)).count().into()
}
