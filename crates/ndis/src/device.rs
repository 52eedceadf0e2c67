//! The control device: how programs talk to the driver.

use core::fmt;

use ndis_sys::{
    NDIS_DEVICE_OBJECT_ATTRIBUTES, NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1, NDIS_OBJECT_HEADER,
    NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES, NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
    NdisDeregisterDeviceEx, NdisRegisterDeviceEx, nt,
};
use wdk_sys::{
    IO_NO_INCREMENT, IO_STACK_LOCATION, IRP, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE,
    IRP_MJ_DEVICE_CONTROL, IRP_MJ_MAXIMUM_FUNCTION, METHOD_BUFFERED, METHOD_NEITHER,
    PDRIVER_DISPATCH,
};

use crate::driver::{self, Driver, Installed};
use crate::filter::FilterModule;
use crate::irql::Passive;
use crate::text::Text;
use crate::{Status, thunk};

/// Entries of a dispatch table.
const MAJOR_FUNCTIONS: usize = IRP_MJ_MAXIMUM_FUNCTION as usize + 1;

/// Where the transfer method is in a control code: the methods are 0 to `METHOD_NEITHER`.
const METHOD_MASK: u32 = METHOD_NEITHER;

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
}

/// The buffer of a request: first it holds the input, then it takes the output.
///
/// It is the system's copy, so the caller cannot change it meanwhile. Input that is wanted while output is written has to
/// be copied, which is what [`input`](Self::input) does.
///
/// # Invariants
///
/// `bytes` is as long as the longer of input and output. What is behind the input is zero.
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

/// Makes the device of a driver.
pub(crate) type Register<M> = fn(&Driver<M>, &mut Passive) -> Result<(), Status>;

/// Makes the device. The filter driver is registered.
pub(crate) fn register<M: ControlDevice>(
    driver: &Driver<M>,
    _irql: &mut Passive,
) -> Result<(), Status> {
    let mut major_functions: [PDRIVER_DISPATCH; MAJOR_FUNCTIONS] = [None; MAJOR_FUNCTIONS];
    for function in [
        IRP_MJ_CREATE,
        IRP_MJ_CLEANUP,
        IRP_MJ_CLOSE,
        IRP_MJ_DEVICE_CONTROL,
    ] {
        if let Some(entry) = major_functions.get_mut(function as usize) {
            *entry = Some(thunk::dispatch::<M>);
        }
    }
    let mut name = M::NAME.as_unicode_string();
    let mut link = M::LINK.as_unicode_string();
    let security = M::SECURITY.as_unicode_string();
    let mut attributes = NDIS_DEVICE_OBJECT_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES,
            Revision: NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
            Size: NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
        },
        DeviceName: &raw mut name,
        SymbolicName: &raw mut link,
        MajorFunctions: major_functions.as_mut_ptr(),
        ExtensionSize: 0,
        DefaultSDDLString: &raw const security,
        DeviceClassGuid: core::ptr::null(),
    };
    let mut object = core::ptr::null_mut();
    let mut device = core::ptr::null_mut();
    // SAFETY: the handle is that of the registered filter driver; all pointers are valid for the length of the call, and
    // NDIS copies what it keeps; the dispatch routine needs nothing that is not there. The token says PASSIVE_LEVEL.
    let status = unsafe {
        NdisRegisterDeviceEx(
            driver::filter_driver_handle(),
            &raw mut attributes,
            &raw mut object,
            &raw mut device,
        )
    };
    Status::from_raw(status).ok()?;
    // INVARIANT: just registered.
    driver.set_device(device);
    Ok(())
}

/// Removes the device, if there is one. Unload runs only when nobody has it open.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisderegisterdeviceex>
pub(crate) fn deregister<M: FilterModule>(driver: &Driver<M>, _irql: &mut Passive) {
    let device = driver.take_device();
    if !device.is_null() {
        // SAFETY: by the invariant of `Driver` it is registered; taking it means that it is deregistered once. The token
        // says PASSIVE_LEVEL.
        unsafe { NdisDeregisterDeviceEx(device) };
    }
}

/// Answers an IRP and completes it.
///
/// # Safety
///
/// The I/O manager has given the IRP to this activation of a dispatch routine of the control device.
pub(crate) unsafe fn dispatch<M: ControlDevice>(irp: *mut IRP, irql: &mut Passive) -> Status {
    // SAFETY: this function's contract.
    let (status, information) = match unsafe { answer::<M>(irp, irql) } {
        Ok(information) => (Status::SUCCESS, information),
        Err(status) => (status, 0),
    };
    // SAFETY: the IRP is this activation's until it is completed.
    unsafe { (*irp).IoStatus.Information = information as u64 };
    // SAFETY: likewise; nothing is read.
    let place = unsafe { &raw mut (*irp).IoStatus.__bindgen_anon_1.Status };
    // SAFETY: likewise.
    unsafe { place.write(status.into_raw()) };
    // SAFETY: the IRP is completed once, here, by the activation that has it; no lock is held.
    unsafe { nt::IofCompleteRequest(irp, IO_NO_INCREMENT as i8) };
    status
}

/// # Safety
///
/// That of [`dispatch`].
unsafe fn answer<M: ControlDevice>(irp: *mut IRP, irql: &mut Passive) -> Result<usize, Status> {
    // SAFETY: this function's contract.
    let location = unsafe { current_location(irp) };
    // SAFETY: the I/O manager has set the location up for this driver.
    let function = unsafe { (*location).MajorFunction };
    match u32::from(function) {
        IRP_MJ_CREATE => {
            // SAFETY: likewise.
            let file = unsafe { (*location).FileObject };
            // SAFETY: a create comes with a file object that the I/O manager keeps meanwhile.
            if !file.is_null() && unsafe { (*file).FileName }.Length != 0 {
                return Err(Status::OBJECT_NAME_INVALID);
            }
            Ok(0)
        }
        IRP_MJ_CLEANUP | IRP_MJ_CLOSE => Ok(0),
        // SAFETY: the function says that the parameters are those of a control request.
        IRP_MJ_DEVICE_CONTROL => unsafe { control::<M>(irp, location, irql) },
        _ => Err(Status::INVALID_DEVICE_REQUEST),
    }
}

/// # Safety
///
/// That of [`dispatch`]; `location` is the IRP's, and that of a device control request.
unsafe fn control<M: ControlDevice>(
    irp: *mut IRP,
    location: *mut IO_STACK_LOCATION,
    irql: &mut Passive,
) -> Result<usize, Status> {
    // SAFETY: this function's contract.
    let parameters = unsafe { &raw const (*location).Parameters.DeviceIoControl };
    // SAFETY: likewise: the member in use is this one.
    let parameters = unsafe { parameters.read() };
    let code = parameters.IoControlCode;
    if code & METHOD_MASK != METHOD_BUFFERED {
        return Err(Status::INVALID_DEVICE_REQUEST);
    }
    let input_length = parameters.InputBufferLength as usize;
    let output_length = parameters.OutputBufferLength as usize;
    let length = input_length.max(output_length);
    // SAFETY: this function's contract.
    let start = unsafe { &raw const (*irp).AssociatedIrp.SystemBuffer };
    // SAFETY: with METHOD_BUFFERED the system buffer is the member in use.
    let start = unsafe { start.read() }.cast::<u8>();
    if length > 0 && start.is_null() {
        return Err(Status::INVALID_PARAMETER);
    }
    let start = if length == 0 {
        core::ptr::NonNull::dangling().as_ptr()
    } else {
        start
    };
    // What is behind the input was never written; the answer must not show what was there before.
    // SAFETY: the buffer is as long as the longer of both.
    let behind = unsafe { start.add(input_length) };
    // SAFETY: likewise; it is this activation's as long as the IRP is.
    unsafe { behind.write_bytes(0, length.saturating_sub(input_length)) };
    // SAFETY: likewise; the input was written by the I/O manager, the rest just now.
    let bytes = unsafe { core::slice::from_raw_parts_mut(start, length) };
    let mut buffer = ControlBuffer {
        bytes,
        input_length,
        output_length,
    };
    let written = M::control(M::driver(), code, &mut buffer, irql)?;
    Ok(written.min(output_length))
}

/// The stack location of this driver, as `IoGetCurrentIrpStackLocation` finds it.
///
/// # Safety
///
/// That of [`dispatch`].
unsafe fn current_location(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: this function's contract.
    let overlay = unsafe { &raw const (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1 };
    // SAFETY: likewise.
    let location = unsafe { &raw const (*overlay).CurrentStackLocation };
    // SAFETY: the IRP is in use by a driver, so these members of the unions are.
    unsafe { location.read() }
}
