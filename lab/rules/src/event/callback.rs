//! The routines of a driver that the kernel calls.

/// A routine of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "the names are those of Microsoft's documentation"
)]
pub enum Callback {
    DriverEntry,
    DriverUnload,
    FilterSetOptions,
    FilterSetModuleOptions,
    FilterAttach,
    FilterDetach,
    FilterRestart,
    FilterPause,
    FilterSendNetBufferLists,
    FilterSendNetBufferListsComplete,
    FilterCancelSendNetBufferLists,
    FilterReceiveNetBufferLists,
    FilterReturnNetBufferLists,
    FilterOidRequest,
    FilterOidRequestComplete,
    FilterCancelOidRequest,
    FilterDirectOidRequest,
    FilterDirectOidRequestComplete,
    FilterCancelDirectOidRequest,
    FilterSynchronousOidRequest,
    FilterSynchronousOidRequestComplete,
    FilterStatus,
    FilterNetPnPEvent,
    FilterDevicePnPEventNotify,
    NdisIoWorkItemRoutine,
    IoWorkItemRoutine,
    TimerFunction,
    DpcRoutine,
    SystemThread,
    Dispatch,
    EtwEnableCallback,
    Cancel,
    ExTimerCallback,
    InjectComplete,
    IoCompletion,
    IoTimer,
    ExCallback,
    Reinitialize,
    ExpandedStackCall,
    IpiGenericCall,
    ProcessorChange,
    PowerSetting,
    ProcessNotify,
    ThreadNotify,
    ImageNotify,
}

impl Callback {
    /// The name as documentation spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DriverEntry => "DriverEntry",
            Self::DriverUnload => "DriverUnload",
            Self::FilterSetOptions => "FilterSetOptions",
            Self::FilterSetModuleOptions => "FilterSetModuleOptions",
            Self::FilterAttach => "FilterAttach",
            Self::FilterDetach => "FilterDetach",
            Self::FilterRestart => "FilterRestart",
            Self::FilterPause => "FilterPause",
            Self::FilterSendNetBufferLists => "FilterSendNetBufferLists",
            Self::FilterSendNetBufferListsComplete => "FilterSendNetBufferListsComplete",
            Self::FilterCancelSendNetBufferLists => "FilterCancelSendNetBufferLists",
            Self::FilterReceiveNetBufferLists => "FilterReceiveNetBufferLists",
            Self::FilterReturnNetBufferLists => "FilterReturnNetBufferLists",
            Self::FilterOidRequest => "FilterOidRequest",
            Self::FilterOidRequestComplete => "FilterOidRequestComplete",
            Self::FilterCancelOidRequest => "FilterCancelOidRequest",
            Self::FilterDirectOidRequest => "FilterDirectOidRequest",
            Self::FilterDirectOidRequestComplete => "FilterDirectOidRequestComplete",
            Self::FilterCancelDirectOidRequest => "FilterCancelDirectOidRequest",
            Self::FilterSynchronousOidRequest => "FilterSynchronousOidRequest",
            Self::FilterSynchronousOidRequestComplete => "FilterSynchronousOidRequestComplete",
            Self::FilterStatus => "FilterStatus",
            Self::FilterNetPnPEvent => "FilterNetPnPEvent",
            Self::FilterDevicePnPEventNotify => "FilterDevicePnPEventNotify",
            Self::NdisIoWorkItemRoutine => "NDIS_IO_WORKITEM_ROUTINE",
            Self::IoWorkItemRoutine => "IO_WORKITEM_ROUTINE",
            Self::TimerFunction => "NDIS_TIMER_FUNCTION",
            Self::DpcRoutine => "KDEFERRED_ROUTINE",
            Self::SystemThread => "system thread",
            Self::Dispatch => "DRIVER_DISPATCH",
            Self::EtwEnableCallback => "ETWENABLECALLBACK",
            Self::Cancel => "DRIVER_CANCEL",
            Self::ExTimerCallback => "EXT_CALLBACK",
            Self::InjectComplete => "FWPS_INJECT_COMPLETE",
            Self::IoCompletion => "IO_COMPLETION_ROUTINE",
            Self::IoTimer => "IO_TIMER_ROUTINE",
            Self::ExCallback => "CALLBACK_FUNCTION",
            Self::Reinitialize => "DRIVER_REINITIALIZE",
            Self::ExpandedStackCall => "EXPAND_STACK_CALLOUT",
            Self::IpiGenericCall => "KIPI_BROADCAST_WORKER",
            Self::ProcessorChange => "PROCESSOR_CALLBACK_FUNCTION",
            Self::PowerSetting => "POWER_SETTING_CALLBACK",
            Self::ProcessNotify => "CREATE_PROCESS_NOTIFY_ROUTINE",
            Self::ThreadNotify => "CREATE_THREAD_NOTIFY_ROUTINE",
            Self::ImageNotify => "LOAD_IMAGE_NOTIFY_ROUTINE",
        }
    }

    /// Whether it is one of the two synchronous OID handlers.
    #[must_use]
    pub fn is_synchronous_oid(self) -> bool {
        matches!(
            self,
            Self::FilterSynchronousOidRequest | Self::FilterSynchronousOidRequestComplete
        )
    }

    /// Whether it is one of the datapath's handlers, which get a dispatch-level flag.
    #[must_use]
    pub fn has_dispatch_flag(self) -> bool {
        matches!(
            self,
            Self::FilterSendNetBufferLists
                | Self::FilterSendNetBufferListsComplete
                | Self::FilterReceiveNetBufferLists
                | Self::FilterReturnNetBufferLists
        )
    }

    /// Whether it is the routine of a work item.
    #[must_use]
    pub fn is_work_item(self) -> bool {
        matches!(self, Self::NdisIoWorkItemRoutine | Self::IoWorkItemRoutine)
    }
}
