// error[E0382]: a block that was given back is not used.
// says: borrow of moved value: `block`

use ndis::mem::LookasideBox;

pub fn give_back(block: LookasideBox<u32>) -> u32 {
    drop(block);
    *block
}
