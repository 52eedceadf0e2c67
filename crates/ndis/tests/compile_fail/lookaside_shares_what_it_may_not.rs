// error[E0277]: a block is no more `Send` than what is in it.
// says: `Cell<u32>` cannot be shared between threads safely

use core::cell::Cell;

use ndis::mem::LookasideBox;

fn needs_send<T: Send>(_: T) {}

pub fn send(block: LookasideBox<&'static Cell<u32>>) {
    needs_send(block);
}
