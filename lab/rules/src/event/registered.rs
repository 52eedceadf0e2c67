//! What a driver registers with the system, beside its devices and its ETW providers.

/// A kind of registration: the system has the address of a routine of the driver's, or names that it answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Registered {
    /// `KeRegisterBugCheckCallback`.
    BugCheck,
    /// `KeRegisterBugCheckReasonCallback`.
    BugCheckReason,
    /// `KeRegisterNmiCallback`.
    Nmi,
    /// `KeRegisterProcessorChangeCallback`.
    ProcessorChange,
    /// `PoRegisterPowerSettingCallback`.
    PowerSetting,
    /// `PsSetCreateProcessNotifyRoutine`.
    Process,
    /// `PsSetCreateProcessNotifyRoutineEx`.
    ProcessEx,
    /// `PsSetCreateThreadNotifyRoutine`.
    Thread,
    /// `PsSetLoadImageNotifyRoutine`.
    Image,
    /// `NdisIfRegisterProvider`.
    InterfaceProvider,
    /// `NdisIfRegisterInterface`.
    Interface,
    /// `IoWMIRegistrationControl`.
    Wmi,
}

impl Registered {
    /// What reports call it.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::BugCheck => "bug check callback",
            Self::BugCheckReason => "bug check reason callback",
            Self::Nmi => "NMI callback",
            Self::ProcessorChange => "processor change callback",
            Self::PowerSetting => "power setting callback",
            Self::Process | Self::ProcessEx => "process notify routine",
            Self::Thread => "thread notify routine",
            Self::Image => "image notify routine",
            Self::InterfaceProvider => "network interface provider",
            Self::Interface => "network interface",
            Self::Wmi => "WMI registration",
        }
    }
}
