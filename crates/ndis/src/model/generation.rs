//! A model of clones that come back at one time.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicI32, Ordering};
use loom::thread;

use super::Handed;
use crate::generation;

const ABORTED: i32 = -2;
const RESOURCES: i32 = -1;

/// A packet with two clones.
struct Packet {
    count: AtomicI32,
    status: AtomicI32,
    /// What the clones leave in it beside their results: what the adapter has answered.
    answers: [Handed; 2],
}

impl Packet {
    /// A clone comes back; the one who has the last completes the packet, and sees everything.
    fn take_back(&self, clone: usize, status: i32) -> bool {
        self.answers[clone].set(1);
        generation::fail(&self.status, status, ABORTED);
        let is_last = generation::is_last(&self.count);
        if is_last {
            assert_eq!(self.answers[0].value() + self.answers[1].value(), 2);
            assert_eq!(
                self.status.load(Ordering::Relaxed),
                ABORTED,
                "was cancelled"
            );
        }
        is_last
    }
}

#[test]
fn last_clone_sees_what_both_have_left_and_completes_once() {
    loom::model(|| {
        let packet = Arc::new(Packet {
            count: AtomicI32::new(0),
            status: AtomicI32::new(0),
            answers: [Handed::new(), Handed::new()],
        });
        generation::add(&packet.count);
        generation::add(&packet.count);
        let clones = [(0, ABORTED), (1, RESOURCES)].map(|(clone, status)| {
            let packet = Arc::clone(&packet);
            thread::spawn(move || packet.take_back(clone, status))
        });
        let ends = clones.map(|clone| clone.join().expect("no assertion failed"));
        let completed = ends.into_iter().filter(|is_last| *is_last).count();
        assert_eq!(completed, 1);
    });
}
