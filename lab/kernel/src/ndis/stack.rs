//! The images on every adapter, and who is above and below whom.
//!
//! Each image has its own ledger of packets, requests and handles ([`crate::per_image`]). What one passes on enters the
//! next one's as if it came from a protocol or a miniport, and goes back the same way.

use std::cell::Cell;

use crate::per_image::MOST;
use crate::rt::sched;

thread_local! {
    /// The numbers of the images from top to bottom, and how many there are.
    static ORDER: Cell<([u8; MOST], usize)> = const { Cell::new(([0; MOST], 1)) };
}

/// A run begins with these images, from top to bottom: [`MOST`] of them at most.
pub(crate) fn configure(order: &[u8]) {
    let mut all = [0; MOST];
    let count = order.len().min(MOST);
    all[..count].copy_from_slice(&order[..count]);
    ORDER.set((all, count));
}

/// The images from top to bottom.
pub(crate) fn from_top() -> impl DoubleEndedIterator<Item = u8> {
    let (all, count) = ORDER.get();
    all.into_iter().take(count)
}

/// The images above the running one, the nearest first.
pub(crate) fn above() -> impl Iterator<Item = u8> {
    let running = sched::image();
    from_top()
        .rev()
        .skip_while(move |image| *image != running)
        .skip(1)
}

/// The images below the running one, the nearest first.
pub(crate) fn below() -> impl Iterator<Item = u8> {
    let running = sched::image();
    from_top()
        .skip_while(move |image| *image != running)
        .skip(1)
}

/// The image `image`, if something holds for it; without one, the first of `images` for which it does.
pub(crate) fn find(
    image: Option<u8>,
    mut images: impl Iterator<Item = u8>,
    mut holds: impl FnMut() -> bool,
) -> Option<u8> {
    let mut holds = |image: &u8| sched::on_behalf(*image, &mut holds);
    match image {
        Some(image) => Some(image).filter(holds),
        None => images.find(&mut holds),
    }
}

/// Runs `body` on behalf of the topmost image.
pub(crate) fn at_top<R>(body: impl FnOnce() -> R) -> R {
    sched::on_behalf(from_top().next().unwrap_or(0), body)
}

/// Runs `body` on behalf of the lowest image.
pub(crate) fn at_bottom<R>(body: impl FnOnce() -> R) -> R {
    sched::on_behalf(from_top().next_back().unwrap_or(0), body)
}

/// Runs `body` on behalf of each image, from the top.
pub(crate) fn each(mut body: impl FnMut()) {
    from_top().for_each(|image| sched::on_behalf(image, &mut body));
}

/// The same from below.
pub(crate) fn each_from_below(mut body: impl FnMut()) {
    let order = from_top().rev();
    order.for_each(|image| sched::on_behalf(image, &mut body));
}

/// Whether something holds for each image.
pub(crate) fn all(mut holds: impl FnMut() -> bool) -> bool {
    from_top().all(|image| sched::on_behalf(image, &mut holds))
}

/// The sum of something over all images.
pub(crate) fn sum(mut part: impl FnMut() -> u64) -> u64 {
    from_top()
        .map(|image| sched::on_behalf(image, &mut part))
        .sum()
}
