// error[E0277]: what a thread is told is for that thread.

use ndis::thread::Calls;

fn needs_send<T: Send>(_: T) {}

pub fn send(calls: Calls<'_>) {
    needs_send(calls);
}
