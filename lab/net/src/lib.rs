//! Frame sources and sinks of the lab.
//!
//! Key types: [`Capture`] reads a pcap or pcapng file into [`Frame`]s, each with a [`Direction`]; [`write_pcapng`]
//! writes frames to a file that says their directions; [`generator`] makes traffic of known counts.
//!
//! ```no_run
//! let capture = lab_net::Capture::open("dns.pcapng".as_ref(), &[])?;
//! eprintln!("{}: {}", capture.adapter_mac, capture.direction_rule);
//! for frame in &capture.frames {
//!     println!("{:?} {} bytes", frame.direction, frame.wire_length());
//! }
//! # Ok::<(), lab_net::CaptureError>(())
//! ```
//!
//! Nothing here knows the driver: what is needed of packet formats, to tell the direction of a packet and to tell one
//! that stands for several segments, is read here anew.

#![forbid(unsafe_code)]

mod capture;
mod direction;
mod frame;
pub mod generator;
mod offload;
mod pcap;
mod pcapng;
mod sink;

pub use capture::{Capture, CaptureError, Damage};
pub use direction::{DirectionRule, Local, LocalError};
pub use frame::{Direction, Frame, Mac};
pub use sink::write_pcapng;
