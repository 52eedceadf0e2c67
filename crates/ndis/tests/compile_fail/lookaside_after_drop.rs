// error[E0382]: a block that was given back is not used.

use ndis::mem::LookasideBox;

pub fn give_back(block: LookasideBox<u32>) -> u32 {
    drop(block);
    *block
}
