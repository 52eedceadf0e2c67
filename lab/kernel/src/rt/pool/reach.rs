//! Live blocks that the image may only read, or not touch at all, for a time.

use super::{Area, Reach, is_paged, with};
use crate::rt::mapping::Access;

/// Changes what the image may do with live blocks, given by their addresses. What lies there stays.
///
/// The lab touches memory as the image does, so it must take a block back before it looks into it.
pub(crate) fn restrict(blocks: &[u64], reach: Reach) {
    // Paged pool has protection of its own.
    let blocks: Vec<u64> = blocks
        .iter()
        .copied()
        .filter(|block| !is_paged(*block))
        .collect();
    with(|pool| pool.nonpaged.restrict(&blocks, reach));
}

impl Area {
    /// Blocks that were allocated one after the other change together.
    pub(super) fn restrict(&mut self, blocks: &[u64], reach: Reach) {
        let mut indices: Vec<usize> = blocks
            .iter()
            .filter_map(|address| {
                self.index_near(*address).filter(|index| {
                    let block = &self.blocks[*index];
                    block.address == *address && block.freed.is_none() && block.reach != reach
                })
            })
            .collect();
        indices.sort_unstable();
        indices.dedup();
        for run in indices.chunk_by(|one, next| one + 1 == *next) {
            let pages: Vec<(u64, usize)> = run
                .iter()
                .map(|index| self.blocks[*index].pages())
                .collect();
            self.region.protect(&pages, access(reach));
            for index in run {
                self.blocks[*index].reach = reach;
            }
        }
    }
}

fn access(reach: Reach) -> Access {
    match reach {
        Reach::Whole => Access::ReadWrite,
        Reach::Read => Access::Read,
        Reach::None => Access::None,
    }
}

#[cfg(test)]
mod tests {
    use super::restrict;
    use crate::rt::pool::{self, Kind, Owner, Reach, Request};
    use crate::rt::{machine, mem, signal::Handlers};

    #[test]
    fn blocks_come_and_go_with_what_is_in_them() {
        let _only = machine::only();
        let _handlers = Handlers::install().expect("signals");
        pool::open(0).expect("address space");
        let blocks = [16, 4096, 40].map(|size| {
            let request = Request {
                tag: 1,
                size,
                align: 16,
                kind: Kind::NonPaged,
                zeroed: true,
                owner: Owner::Lab,
            };
            pool::allocate(request).expect("room")
        });
        for block in blocks {
            mem::write(block, block).expect("it is writable");
        }
        let [first, middle, last] = blocks;
        restrict(&[last, first, middle], Reach::None);
        assert!(blocks.iter().all(|block| mem::read::<u64>(*block).is_err()));
        restrict(&[middle], Reach::Read);
        assert_eq!(mem::read(middle), Ok(middle));
        assert!(mem::write(middle, 0_u64).is_err() && mem::read::<u64>(last).is_err());
        restrict(&blocks, Reach::Whole);
        for block in blocks {
            assert_eq!(mem::read(block), Ok(block));
            // Guards stay where they are.
            assert!(mem::read::<u8>(block + 0x2000).is_err() || block != last);
        }
        assert!(mem::read::<u8>(middle + 4096).is_err());
        restrict(&[first], Reach::None);
        assert!(pool::free(first, None).is_ok());
        pool::close();
    }
}
