//! Configuration: the parameters that a person or the INF has left in the registry.
//!
//! # Example
//!
//! ```no_run
//! use ndis::Status;
//! use ndis::config::{BadText, Configuration, Parameter};
//! use ndis::filter::{Attaching, FilterModule};
//! use ndis::irql::Passive;
//! use ndis::text;
//!
//! struct Settings {
//!     every_ms: u32,
//!     has_name: bool,
//! }
//!
//! fn read<M: FilterModule>(
//!     attaching: &mut Attaching<'_, M>,
//!     irql: &mut Passive,
//! ) -> Result<Settings, Status> {
//!     attaching.configuration(irql, settings)
//! }
//!
//! fn settings(configuration: &mut Configuration<'_>, irql: &mut Passive) -> Settings {
//!     let every_ms = match configuration.integer(text!("EveryMs"), irql) {
//!         Parameter::Integer(every_ms @ 1..=1000) => every_ms,
//!         // Out of range, of another type, not there, or not to be had.
//!         Parameter::Integer(_)
//!         | Parameter::WrongType
//!         | Parameter::Absent
//!         | Parameter::Unreadable(_) => 10,
//!     };
//!     let mut room = [0; 32];
//!     let has_name = match configuration.ascii(text!("Label"), &mut room, irql) {
//!         Ok(name) => name.is_some(),
//!         Err(BadText::NotAscii | BadText::Unreadable(_)) => false,
//!     };
//!     Settings { every_ms, has_name }
//! }
//! ```

use core::marker::PhantomData;

use ndis_sys::{
    NDIS_CONFIGURATION_OBJECT, NDIS_CONFIGURATION_OBJECT_REVISION_1, NDIS_CONFIGURATION_PARAMETER,
    NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT, NDIS_PARAMETER_TYPE,
    NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1, NdisCloseConfiguration, NdisOpenConfigurationEx,
    NdisParameterHexInteger, NdisParameterInteger, NdisParameterString, NdisReadConfiguration,
};

use crate::Status;
use crate::irql::Passive;
use crate::text::Text;

/// The open parameters of a filter module, or of the driver.
///
/// # Invariants
///
/// `handle` came from `NdisOpenConfigurationEx` and is not closed. The value is borrowed exclusively for each call,
/// because NDIS wants reads one after the other.
#[derive(Debug)]
pub struct Configuration<'a> {
    handle: NDIS_HANDLE,
    _open: PhantomData<&'a ()>,
}

/// What a parameter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// There is none of that name.
    Absent,
    /// An integer.
    Integer(u32),
    /// Something else than an integer.
    WrongType,
    /// NDIS could not read it; nobody knows whether it is there.
    Unreadable(Status),
}

/// Why there is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadText {
    /// The parameter is no ASCII string, or too long.
    NotAscii,
    /// NDIS could not read it; nobody knows whether it is there.
    Unreadable(Status),
}

impl Configuration<'_> {
    /// Reads an integer parameter. It is what somebody wrote into the registry: check its range.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisreadconfiguration>
    pub fn integer(&mut self, keyword: Text, irql: &mut Passive) -> Parameter {
        let parameter = match self.read(keyword, NdisParameterInteger, irql) {
            Ok(Some(parameter)) => parameter,
            Ok(None) => return Parameter::Absent,
            Err(status) => return Parameter::Unreadable(status),
        };
        if parameter.ParameterType != NdisParameterInteger
            && parameter.ParameterType != NdisParameterHexInteger
        {
            return Parameter::WrongType;
        }
        // SAFETY: the type says that it is an integer.
        Parameter::Integer(unsafe { parameter.ParameterData.IntegerData })
    }

    /// Reads a string parameter into `to`, and gives that part of `to`. `None`: there is none of that name.
    ///
    /// # Errors
    ///
    /// It is something else than a string, not all ASCII, or has no room in `to`; or NDIS cannot read it.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisreadconfiguration>
    pub fn ascii<'t>(
        &mut self,
        keyword: Text,
        to: &'t mut [u8],
        irql: &mut Passive,
    ) -> Result<Option<&'t [u8]>, BadText> {
        let read = self.read(keyword, NdisParameterString, irql);
        let Some(parameter) = read.map_err(BadText::Unreadable)? else {
            return Ok(None);
        };
        if parameter.ParameterType != NdisParameterString {
            return Err(BadText::NotAscii);
        }
        // SAFETY: the type says that it is a string.
        let string = unsafe { parameter.ParameterData.StringData };
        let length = usize::from(string.Length / 2);
        let to = to.get_mut(..length).ok_or(BadText::NotAscii)?;
        for (index, byte) in to.iter_mut().enumerate() {
            // SAFETY: the string has `length` characters, and NDIS keeps it until the configuration is closed.
            let character = unsafe { string.Buffer.add(index) };
            // SAFETY: likewise; nobody writes to it.
            let character = unsafe { character.read_unaligned() };
            *byte = u8::try_from(character).map_err(|_| BadText::NotAscii)?;
        }
        if to.is_ascii() {
            Ok(Some(to))
        } else {
            Err(BadText::NotAscii)
        }
    }

    /// Reads a parameter. `None`: there is none of that name.
    ///
    /// # Errors
    ///
    /// What NDIS gives, but for `NDIS_STATUS_FAILURE`: its page has that for what cannot be found.
    fn read(
        &mut self,
        keyword: Text,
        kind: NDIS_PARAMETER_TYPE,
        _irql: &mut Passive,
    ) -> Result<Option<NDIS_CONFIGURATION_PARAMETER>, Status> {
        let mut status = Status::FAILURE.into_raw();
        let mut parameter: *mut NDIS_CONFIGURATION_PARAMETER = core::ptr::null_mut();
        let mut keyword = keyword.as_unicode_string();
        // SAFETY: the handle is open by the invariant; all pointers are valid for the length of the call; the token says
        // PASSIVE_LEVEL.
        unsafe {
            NdisReadConfiguration(
                &raw mut status,
                &raw mut parameter,
                self.handle,
                &raw mut keyword,
                kind,
            );
        }
        match Status::from_raw(status).ok() {
            Ok(()) if !parameter.is_null() => {
                // SAFETY: NDIS has given a parameter, which lives until the configuration is closed.
                Ok(Some(unsafe { parameter.read() }))
            }
            Ok(()) | Err(Status::FAILURE) => Ok(None),
            Err(status) => Err(status),
        }
    }
}

/// Opens the configuration of what `handle` stands for, runs `f` with it, and closes it.
///
/// # Errors
///
/// What `NdisOpenConfigurationEx` gives; `f` is not called then.
///
/// # Safety
///
/// `handle` is a live filter module or filter driver handle.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisopenconfigurationex>
pub(crate) unsafe fn with<R>(
    handle: NDIS_HANDLE,
    irql: &mut Passive,
    f: impl FnOnce(&mut Configuration<'_>, &mut Passive) -> R,
) -> Result<R, Status> {
    let mut object = NDIS_CONFIGURATION_OBJECT {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT,
            Revision: NDIS_CONFIGURATION_OBJECT_REVISION_1,
            Size: NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1,
        },
        NdisHandle: handle,
        Flags: 0,
    };
    let mut open = core::ptr::null_mut();
    // SAFETY: this function's contract; the pointers are valid for the length of the call; the token says PASSIVE_LEVEL.
    let status = unsafe { NdisOpenConfigurationEx(&raw mut object, &raw mut open) };
    Status::from_raw(status).ok()?;
    // INVARIANT: just opened; closed below, when nobody has it any more.
    let mut configuration = Configuration {
        handle: open,
        _open: PhantomData,
    };
    let result = f(&mut configuration, irql);
    // SAFETY: opened above, and closed once.
    unsafe { NdisCloseConfiguration(open) };
    Ok(result)
}
