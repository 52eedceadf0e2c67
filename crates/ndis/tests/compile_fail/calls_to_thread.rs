// error[E0277]: what a thread is told is for that thread.
// says: `*mut thread::system::OfThisThread` cannot be sent between threads safely
// says: required because it appears within the type `Calls<'_>`

use ndis::thread::Calls;

fn needs_send<T: Send>(_: T) {}

pub fn send(calls: Calls<'_>) {
    needs_send(calls);
}
