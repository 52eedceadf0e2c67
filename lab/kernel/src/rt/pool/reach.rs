//! Live blocks that the image may only read, or not touch at all, for a time.

use super::region::Page;
use super::{Area, IS_CHANGED, Reach, is_paged, with};

/// Changes what the image may do with live blocks, given by their addresses. What lies there stays.
///
/// The lab touches memory as the image does, so it must take a block back before it looks into it.
pub(crate) fn restrict(blocks: &[u64], reach: Reach) {
    IS_CHANGED.set(true);
    with(|pool| {
        // Paged pool has protection of its own.
        for block in blocks.iter().filter(|block| !is_paged(**block)) {
            pool.nonpaged.restrict(*block, reach);
        }
    });
}

impl Area {
    fn restrict(&mut self, address: u64, reach: Reach) {
        let Some(index) = self.index_near(address) else {
            return;
        };
        let block = &mut self.blocks[index];
        if block.address == address && block.freed.is_none() && block.reach != reach {
            block.reach = reach;
            let (first, bytes) = block.pages();
            self.region.set(first, bytes, page(reach));
        }
    }
}

fn page(reach: Reach) -> Page {
    match reach {
        Reach::Whole => Page::Whole,
        Reach::Read => Page::Read,
        Reach::None => Page::Closed,
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
        pool::open(0, pool::Side::End).expect("address space");
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
