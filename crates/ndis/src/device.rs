//! The control device: how programs talk to the driver, and what belongs to it.
//!
//! Short requests are answered at once, in the thread of who asks. [Longer](ControlDevice::is_longer) ones are left pending and
//! answered by a work item of the device, whenever there is news; whoever asks may cancel them meanwhile.
//!
//! A device may have work items of both families: [`NdisWorkItem`] and [`IoWorkItem`].
//!
//! # Example
//!
//! ```no_run
//! use core::task::Poll;
//!
//! use ndis::device::{
//!     ControlBuffer, ControlDevice, Device, IoWorkItem, Longer, NdisWorkItem, Opening, Routine,
//! };
//! use ndis::driver::{Census, Driver, Installed};
//! use ndis::filter::{Attaching, FilterModule};
//! use ndis::irql::{Caller, Passive};
//! use ndis::text::Text;
//! use ndis::work::{NextRun, NotAttached, Tried};
//! use ndis::{Status, text};
//!
//! struct Example;
//!
//! impl FilterModule for Example {
//!     type Departed = ();
//!
//!     fn attach(_attaching: &mut Attaching<'_, Self>, _irql: &mut Passive) -> Result<Self, Status> {
//!         Ok(Self)
//!     }
//! }
//!
//! struct Items {
//!     ndis: NdisWorkItem<Example>,
//!     io: IoWorkItem<Example>,
//! }
//!
//! fn run(_device: &Device<'_, Example>, _irql: &mut Passive) -> NextRun {
//!     NextRun::WhenQueued
//! }
//!
//! impl ControlDevice for Example {
//!     const NAME: Text = text!(r"\Device\Example");
//!     const LINK: Text = text!(r"\DosDevices\Example");
//!     const SECURITY: Text = text!("D:P(A;;GA;;;SY)(A;;GA;;;BA)");
//!
//!     type Device = Items;
//!
//!     fn open(opening: &mut Opening<'_, Self>, irql: &mut Passive) -> Result<Items, Status> {
//!         let routine: Routine<Self> = run;
//!         Ok(Items {
//!             ndis: opening.ndis_work_item(routine, irql)?,
//!             io: opening.io_work_item(routine, irql)?,
//!         })
//!     }
//!
//!     fn control(
//!         driver: &Driver<Self>,
//!         code: u32,
//!         buffer: &mut ControlBuffer<'_>,
//!         irql: &mut Passive,
//!     ) -> Result<usize, Status> {
//!         if code != 0x8DF0_6000 || !buffer.input().is_empty() {
//!             return Err(Status::INVALID_DEVICE_REQUEST);
//!         }
//!         let modules = driver.census(irql, |census: &Census<'_, Self>| census.modules().count());
//!         let output = buffer.output().first_chunk_mut().ok_or(Status::BUFFER_TOO_SMALL)?;
//!         *output = (modules as u64).to_le_bytes();
//!         Ok(output.len())
//!     }
//!
//!     fn advance(
//!         _driver: &Driver<Self>,
//!         request: &mut Longer<'_>,
//!         _irql: &mut Passive,
//!     ) -> Poll<Result<usize, Status>> {
//!         request.note = request.note.wrapping_add(1);
//!         if request.note < 3 { Poll::Pending } else { Poll::Ready(Ok(0)) }
//!     }
//! }
//!
//! fn queue(irql: &mut impl Caller) -> Option<Result<Tried, NotAttached>> {
//!     Example::driver().with_device(irql, |device: &Device<'_, Example>, irql| {
//!         let items: &Items = device;
//!         items.ndis.queue(irql)?;
//!         items.io.try_queue(irql)
//!     })
//! }
//!
//! ndis::driver! {
//!     module: Example,
//!     handlers: [control_device],
//!     unique_name: "{5a1b34b8-8a0e-4c71-93f1-2b1e5fd7c0aa}",
//!     service_name: "example",
//!     friendly_name: "Example",
//! }
//! # fn main() {}
//! ```

mod core;
mod irp;
mod item;
mod longer;

use ::core::fmt;
use ::core::task::Poll;

use crate::Status;
use crate::driver::{Driver, Installed};
use crate::irql::{Caller, Passive};
use crate::text::Text;

pub use self::core::{Device, Opening};
pub use item::{IoWorkItem, NdisWorkItem, Routine};
pub use longer::{Longer, MAX_LONGER_REQUESTS};

pub(crate) use self::core::{DeviceCore, Registration, registration};
pub(crate) use irp::{call_of, dispatch};
pub(crate) use longer::cancel;

/// A driver with a device that programs can open and send control codes to.
///
/// The I/O manager checks the access that a code asks for, and whether the caller may open the device at all. Creates
/// with a file name are refused; so are codes of another method than `METHOD_BUFFERED`.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisregisterdeviceex>
pub trait ControlDevice: Installed {
    /// Name of the device object: `\Device\…`.
    const NAME: Text;
    /// Name of the symbolic link: `\DosDevices\…`.
    const LINK: Text;
    /// Who may open the device, as an SDDL string.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/kernel/sddl-for-device-objects>
    const SECURITY: Text;

    /// What the device has: work items, and what they work with. `()` if nothing.
    type Device: Send + Sync + 'static;

    /// Makes what the device has. The device exists, and requests may come already; work items stay at rest until this has
    /// returned, and longer requests are refused.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// `DriverEntry` fails with the status.
    fn open(opening: &mut Opening<'_, Self>, irql: &mut Passive) -> Result<Self::Device, Status>;

    /// Answers a control code, and gives the number of bytes of [`ControlBuffer::output`] that the answer takes.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// The request fails with the status, and no output.
    fn control(
        driver: &Driver<Self>,
        code: u32,
        buffer: &mut ControlBuffer<'_>,
        irql: &mut Passive,
    ) -> Result<usize, Status>;

    /// Whether requests with this code wait for something: they are left pending, and [`advance`](Self::advance) answers them.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    fn is_longer(code: u32) -> bool {
        let _ = code;
        false
    }

    /// Looks after a longer request: begins it, finds that it has to wait, or answers it with the number of bytes of
    /// [`Longer::buffer`]'s output. A request that waits is looked after again after each
    /// [`Driver::advance_requests`].
    ///
    /// It runs in a work item of the device ([`IoWorkItem`]) that all requests share, and does not wait for what may be long in
    /// coming. What is behind the input is the request's until it is answered.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// The request fails with the status, and no output.
    fn advance(
        driver: &Driver<Self>,
        request: &mut Longer<'_>,
        irql: &mut Passive,
    ) -> Poll<Result<usize, Status>> {
        let _ = (driver, request, irql);
        Poll::Ready(Err(Status::INVALID_DEVICE_REQUEST))
    }

    /// Is told of a request that is refused: by this trait's methods, or before they see it, as a create with a file name or
    /// a code of another method is. What is cancelled is not.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    fn refused(refused: &Refused) {
        let _ = refused;
    }

    /// Is told of a longer request that was cancelled, or whose file was closed: it fails with `STATUS_CANCELLED`, and
    /// [`advance`](Self::advance) does not see it any more.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    fn abandon(driver: &Driver<Self>, request: &Longer<'_>, irql: &mut impl Caller) {
        let _ = (driver, request, irql);
    }
}

/// A request that the device refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is asked for: the `IRP_MJ_…`.
    pub function: u8,
    /// The code of a control request.
    pub code: Option<u32>,
    /// What it fails with.
    pub status: Status,
}

/// The buffer of a request: first it holds the input, then it takes the output.
///
/// It is the system's copy, so the caller cannot change it meanwhile. Input that is wanted while output is written has to
/// be copied, which is what [`input`](Self::input) does.
///
/// # Invariants
///
/// `bytes` is as long as the longer of input and output. What is behind the input is zero when the driver sees it first.
pub struct ControlBuffer<'a> {
    bytes: &'a mut [u8],
    input_length: usize,
    output_length: usize,
}

impl ControlBuffer<'_> {
    /// The input.
    #[must_use]
    pub fn input(&self) -> &[u8] {
        self.bytes.get(..self.input_length).unwrap_or_default()
    }

    /// Zeroes what is behind the input: it was never written, and the answer must not show what was there before.
    fn clear_behind_input(&mut self) {
        if let Some(behind) = self.bytes.get_mut(self.input_length..) {
            behind.fill(0);
        }
    }

    /// The place for the output.
    pub fn output(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.output_length).unwrap_or_default()
    }
}

impl fmt::Debug for ControlBuffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlBuffer")
            .field("input_length", &self.input_length)
            .field("output_length", &self.output_length)
            .finish_non_exhaustive()
    }
}
