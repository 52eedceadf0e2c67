//! What frames are made of, told by frames; what flows are made of, told by packets.
#![forbid(unsafe_code)]

mod block;
mod flow;
mod frame;
mod hostile;
mod parse;
