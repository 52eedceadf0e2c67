//! `qsort` and `bsearch`, whose comparison is the driver's.

use crate::nt::imports;
use crate::rt::mem;
use crate::rt::{self, Call};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    bsearch => search,
    bsearch_s => search_with_context,
    qsort => sort,
    qsort_s => sort_with_context,
}

/// An array in the driver's memory, and how its elements compare.
#[derive(Clone, Copy)]
struct Array {
    base: u64,
    count: u64,
    size: u64,
    compare: u64,
    /// What the comparison gets before the two elements.
    context: Option<u64>,
}

impl Array {
    /// The array of `qsort`, which begins with this argument.
    fn new(call: &Call<'_>, first: usize, has_context: bool) -> Self {
        Self {
            base: call.arg(first),
            count: call.arg(first + 1),
            size: call.arg(first + 2),
            compare: call.arg(first + 3),
            context: has_context.then(|| call.arg(first + 4)),
        }
    }

    fn at(self, index: u64) -> u64 {
        self.base.wrapping_add(self.size.wrapping_mul(index))
    }

    fn order(self, a: u64, b: u64) -> i32 {
        let order = match self.context {
            Some(context) => rt::call_driver(self.compare, &[context, a, b]),
            None => rt::call_driver(self.compare, &[a, b]),
        };
        (order as u32).cast_signed()
    }

    fn swap(self, a: u64, b: u64) {
        let (a, b) = (self.at(a), self.at(b));
        let size = self.size as usize;
        let kept = mem::read_bytes(a, size).or_fault();
        mem::copy(a, b, size).or_fault();
        mem::write_bytes(b, &kept).or_fault();
    }

    /// Lets an element of a heap of `count` sink to where it belongs.
    fn sink(self, mut index: u64, count: u64) {
        loop {
            let (first, second) = (2 * index + 1, 2 * index + 2);
            if first >= count {
                return;
            }
            let larger = if second < count && self.order(self.at(first), self.at(second)) < 0 {
                second
            } else {
                first
            };
            if self.order(self.at(index), self.at(larger)) >= 0 {
                return;
            }
            self.swap(index, larger);
            index = larger;
        }
    }

    /// Equal elements come in no order, as documented.
    fn sort(self) {
        if self.size == 0 {
            return;
        }
        for index in (0..self.count / 2).rev() {
            self.sink(index, self.count);
        }
        for last in (1..self.count).rev() {
            self.swap(0, last);
            self.sink(0, last);
        }
    }

    /// Where an element is that equals the key; NULL where none is.
    fn find(self, key: u64) -> u64 {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.order(key, self.at(middle)) {
                0 => return self.at(middle),
                order if order < 0 => high = middle,
                _ => low = middle + 1,
            }
        }
        0
    }
}

fn sort(call: &Call<'_>) -> u64 {
    Array::new(call, 0, false).sort();
    0
}

fn sort_with_context(call: &Call<'_>) -> u64 {
    Array::new(call, 0, true).sort();
    0
}

fn search(call: &Call<'_>) -> u64 {
    Array::new(call, 1, false).find(call.arg(0))
}

fn search_with_context(call: &Call<'_>) -> u64 {
    Array::new(call, 1, true).find(call.arg(0))
}
