//! What the driver tells Windows' tracing (ETW): `docs/tracing.md` says what each event means.
//!
//! Names of events and fields are an interface: tools look for them. `tests/trace.rs` holds the list.

use ndis::trace::{Ascii, Bool, Hex32, Mac, NtStatus, SocketAddress, Utf16};

use crate::tell::rundown;

/// What an event is about: a session chooses by these bits.
pub(crate) mod keyword {
    /// The driver and its modules come, stop and go.
    pub(crate) const LIFECYCLE: u64 = 0x1;
    /// Parameters, modes and rules.
    pub(crate) const SETTING: u64 = 0x2;
    /// Work items.
    pub(crate) const WORK: u64 = 0x4;
    /// Packets that were not looked at, or not passed on.
    pub(crate) const OVERFLOW: u64 = 0x8;
    /// What became of each packet in mode `inline`.
    pub(crate) const VERDICT: u64 = 0x10;
    /// Flows.
    pub(crate) const FLOW: u64 = 0x20;
    /// Counters, once in a while.
    pub(crate) const STATISTICS: u64 = 0x40;
    /// Requests to the control device.
    pub(crate) const REQUEST: u64 = 0x80;
    /// Whatever failed, beside the bit of what it is.
    pub(crate) const ERROR: u64 = 0x100;
}

ndis::events! {
    /// The driver's events.
    pub(crate) provider DEFERLWF = "Deferlwf", rundown: rundown;

    /// The driver is loaded.
    event DriverLoaded<'a>(Information, keyword::LIFECYCLE, Start) {
        /// Version of the package.
        version = "Version": Ascii,
        /// The minor version of NDIS 6 that it registered for.
        ndis_minor = "NdisMinor": u8,
    }

    /// The system does not register what WPP messages are written with: the driver runs without them.
    event MessagesNotRegistered(Error, keyword::LIFECYCLE | keyword::ERROR, Info) {
        /// Why.
        status = "Status": NtStatus,
    }

    /// `DriverEntry` fails.
    event DriverNotLoaded(Error, keyword::LIFECYCLE | keyword::ERROR, Info) {
        /// Why.
        status = "Status": NtStatus,
    }

    /// The driver is about to be unloaded.
    event DriverUnloaded(Information, keyword::LIFECYCLE, Stop) {
        /// Events that the system did not take.
        refused_events = "RefusedEvents": u64,
        /// WPP messages that it did not take.
        refused_messages = "RefusedMessages": u64,
    }

    /// The driver is there: told to a session that asks.
    event DriverRundown<'a>(Information, keyword::LIFECYCLE, DataCollectionStart) {
        /// Version of the package.
        version = "Version": Ascii,
        /// The minor version of NDIS 6 that it registered for.
        ndis_minor = "NdisMinor": u8,
        /// Events that the system did not take.
        refused_events = "RefusedEvents": u64,
        /// WPP messages that it did not take.
        refused_messages = "RefusedMessages": u64,
    }

    /// A module is attached to an adapter.
    event ModuleAttached(Information, keyword::LIFECYCLE, Start) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// Interface index of the adapter below.
        base_if_index = "BaseIfIndex": u32,
        /// The adapter's address.
        mac_address = "MacAddress": Mac,
        /// How long it took.
        duration_ns = "DurationNs": u64,
    }

    /// A module could not be attached: packets of the adapter pass without it.
    event ModuleNotAttached(Error, keyword::LIFECYCLE | keyword::ERROR, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// Why.
        status = "Status": NtStatus,
        /// How long it took.
        duration_ns = "DurationNs": u64,
    }

    /// A module runs.
    event ModuleRestarted<'a>(Information, keyword::LIFECYCLE, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// The mode in effect.
        mode = "Mode": Ascii,
        /// How long it took.
        duration_ns = "DurationNs": u64,
    }

    /// A module could not be restarted.
    event ModuleNotRestarted(Error, keyword::LIFECYCLE | keyword::ERROR, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// Why.
        status = "Status": NtStatus,
        /// How long it took.
        duration_ns = "DurationNs": u64,
    }

    /// Memory was too short for all copies that mode `inline` wants: packets that need one are missed earlier.
    event CopiesShort(Warning, keyword::OVERFLOW, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// How many there are.
        made = "Made": u32,
        /// How many there should be.
        wanted = "Wanted": u32,
    }

    /// A module is paused.
    event ModulePaused(Information, keyword::LIFECYCLE, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// Why NDIS wanted it: bits of `NDIS_FILTER_PAUSE_PARAMETERS`.
        reason = "Reason": Hex32,
        /// How long it took: what was on its way was waited for.
        duration_ns = "DurationNs": u64,
    }

    /// A module is gone.
    event ModuleDetached(Information, keyword::LIFECYCLE, Stop) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// How long it took.
        duration_ns = "DurationNs": u64,
    }

    /// A module is there: told to a session that asks.
    event ModuleRundown<'a>(Information, keyword::LIFECYCLE, DataCollectionStart) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// Interface index of the adapter below.
        base_if_index = "BaseIfIndex": u32,
        /// The adapter's address.
        mac_address = "MacAddress": Mac,
        /// The mode in effect.
        mode = "Mode": Ascii,
        /// The state, as NDIS's documentation names it.
        state = "State": Ascii,
    }

    /// Another mode is in effect.
    event ModeChanged<'a>(Information, keyword::SETTING, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// The mode before.
        from = "From": Ascii,
        /// The mode now.
        to = "To": Ascii,
    }

    /// The mode could not be changed, and is what it was.
    event ModeNotChanged<'a>(Error, keyword::SETTING | keyword::ERROR, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// The mode in effect.
        mode = "Mode": Ascii,
        /// Why.
        status = "Status": NtStatus,
    }

    /// Parameters were read and are in effect.
    event ParametersRead<'a>(Information, keyword::SETTING, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// The mode that they ask for.
        mode = "Mode": Ascii,
        /// Rules of `Block`.
        rules = "Rules": u32,
        /// Whether `inline` drops what is too much or too late.
        drops_at_overload = "DropsAtOverload": Bool,
        /// The most packets of one direction that `inline` holds.
        hold_limit = "HoldLimit": u32,
        /// The longest time that it holds one.
        max_hold_ns = "MaxHoldNs": u64,
        /// The longest time that a worker runs at a time.
        worker_budget_ns = "WorkerBudgetNs": u64,
        /// The silence after which a flow may have to give way.
        flow_idle_ns = "FlowIdleNs": u64,
    }

    /// NDIS could not open the parameters: at attach the defaults are used, later what was read before.
    event ParametersNotRead(Error, keyword::SETTING | keyword::ERROR, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// Why.
        status = "Status": NtStatus,
    }

    /// NDIS could not read a parameter: the default is used.
    event ParameterNotRead(Error, keyword::SETTING | keyword::ERROR, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// The parameter.
        name = "Name": Utf16,
        /// Why.
        status = "Status": NtStatus,
    }

    /// Other rules than before were read.
    event RulesChanged<'a>(Information, keyword::SETTING, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// How many there were.
        from = "From": u32,
        /// How many there are.
        to = "To": u32,
        /// What they are.
        text = "Text": Ascii,
    }

    /// A parameter is not a number in its range: the default is used.
    event BadParameter<'a>(Warning, keyword::SETTING, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// The parameter.
        name = "Name": Utf16,
        /// `type` or `range`.
        problem = "Problem": Ascii,
        /// The number, if it is one.
        value = "Value": u32,
        /// What is used.
        used = "Used": u32,
    }

    /// The rules of `Block` are not written as they should be: nothing is blocked.
    event BadRules<'a>(Warning, keyword::SETTING, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// `type`: no text, or too long; `rule`: a rule cannot be read; `too many`.
        problem = "Problem": Ascii,
        /// The first rule that cannot be read, counted from 0.
        rule = "Rule": u32,
        /// What is written there, if it is text.
        text = "Text": Ascii,
    }

    /// A work item was wished for.
    event WorkQueued<'a>(Verbose, keyword::WORK, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// Which: `tap`, `judge-send` or `judge-receive`.
        work = "Work": Ascii,
        /// Whether a run takes care of it that was on its way already.
        is_coalesced = "Coalesced": Bool,
    }

    /// A work item begins to run.
    event WorkStarted<'a>(Verbose, keyword::WORK, Start) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// Which.
        work = "Work": Ascii,
        /// How long it was in the system's queue.
        queued_ns = "QueuedNs": u64,
    }

    /// A work item has run.
    event WorkStopped<'a>(Verbose, keyword::WORK, Stop) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// Which.
        work = "Work": Ascii,
        /// Packets that it has dealt with.
        packets = "Packets": u64,
        /// How long it ran.
        duration_ns = "DurationNs": u64,
        /// Whether its time was spent before its work was: it is queued again.
        is_budget_spent = "BudgetSpent": Bool,
    }

    /// The ring was full: packets passed, but were not looked at.
    event SnapshotsLost<'a>(Warning, keyword::OVERFLOW, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// `send` or `receive`.
        direction = "Direction": Ascii,
        /// How many.
        packets = "Packets": u64,
        /// Snapshots that the ring has room for.
        capacity = "Capacity": u32,
    }

    /// Packets passed or were dropped without being looked at.
    event PacketsMissed<'a>(Warning, keyword::OVERFLOW, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// `send` or `receive`.
        direction = "Direction": Ascii,
        /// Why: `paused`, `overload`, `late`, `unholdable`, `cancelled`, `unmapped` or `unreadable`.
        reason = "Reason": Ascii,
        /// How many.
        packets = "Packets": u64,
        /// Whether they were dropped.
        are_dropped = "Dropped": Bool,
    }

    /// A packet was judged.
    event PacketJudged<'a>(Verbose, keyword::VERDICT, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// `send` or `receive`.
        direction = "Direction": Ascii,
        /// Whether it may not pass.
        is_blocked = "Blocked": Bool,
        /// Its IP protocol.
        protocol = "Protocol": u8,
        /// Where it comes from.
        source = "Source": SocketAddress,
        /// Where it goes to.
        destination = "Destination": SocketAddress,
        /// Bytes on the wire.
        length = "Length": u32,
    }

    /// A flow began.
    event FlowStarted<'a>(Information, keyword::FLOW, Start) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// By what its ends are told apart: `port` or `address`.
        kind = "Kind": Ascii,
        /// Its IP protocol.
        protocol = "Protocol": u8,
        /// The end that sent the first packet.
        a = "A": SocketAddress,
        /// The other end.
        b = "B": SocketAddress,
        /// Which way the first packet went.
        direction = "Direction": Ascii,
    }

    /// A flow is over.
    event FlowEnded<'a>(Information, keyword::FLOW, Stop) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// By what its ends are told apart.
        kind = "Kind": Ascii,
        /// Its IP protocol.
        protocol = "Protocol": u8,
        /// The end that sent the first packet.
        a = "A": SocketAddress,
        /// The other end.
        b = "B": SocketAddress,
        /// Why: `closed`, `reset`, `silent` or `detached`.
        reason = "Reason": Ascii,
        /// Packets from A to B.
        packets_ab = "PacketsAB": u64,
        /// Packets from B to A.
        packets_ba = "PacketsBA": u64,
        /// Bytes from A to B.
        bytes_ab = "BytesAB": u64,
        /// Bytes from B to A.
        bytes_ba = "BytesBA": u64,
        /// From the first packet to the last.
        duration_ns = "DurationNs": u64,
    }

    /// A flow is there: told to a session that asks.
    event FlowRundown<'a>(Information, keyword::FLOW, DataCollectionStart) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// By what its ends are told apart.
        kind = "Kind": Ascii,
        /// Its IP protocol.
        protocol = "Protocol": u8,
        /// The end that sent the first packet.
        a = "A": SocketAddress,
        /// The other end.
        b = "B": SocketAddress,
        /// Packets from A to B.
        packets_ab = "PacketsAB": u64,
        /// Packets from B to A.
        packets_ba = "PacketsBA": u64,
        /// Bytes from A to B.
        bytes_ab = "BytesAB": u64,
        /// Bytes from B to A.
        bytes_ba = "BytesBA": u64,
    }

    /// There was no room for a flow.
    event FlowRefused(Warning, keyword::FLOW | keyword::OVERFLOW, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// Flows that there is room for.
        capacity = "Capacity": u32,
    }

    /// What a module has counted, once a second while packets pass.
    event Statistics<'a>(Information, keyword::STATISTICS, Info) {
        /// Interface index of the module.
        if_index = "IfIndex": u32,
        /// The mode in effect.
        mode = "Mode": Ascii,
        /// Packets that were sent.
        packets_sent = "PacketsSent": u64,
        /// Their bytes on the wire.
        bytes_sent = "BytesSent": u64,
        /// Packets that were received.
        packets_received = "PacketsReceived": u64,
        /// Their bytes on the wire.
        bytes_received = "BytesReceived": u64,
        /// Packets that were looked at, both ways.
        inspected = "Inspected": u64,
        /// Packets that were not.
        not_inspected = "NotInspected": u64,
        /// Packets that were dropped.
        dropped = "Dropped": u64,
        /// Snapshots or packets that wait for a worker.
        waiting = "Waiting": u32,
        /// Flows in the table.
        flows = "Flows": u32,
        /// Runs of work items.
        work_runs = "WorkRuns": u64,
        /// The longest time that one was queued.
        longest_queued_ns = "LongestQueuedNs": u64,
    }

    /// A request to the control device was refused.
    event RequestRefused(Warning, keyword::REQUEST, Info) {
        /// The IOCTL code; 0 for a request without one.
        code = "Code": Hex32,
        /// The answer.
        status = "Status": NtStatus,
        /// What was asked for: its `IRP_MJ_…`.
        function = "Function": u8,
    }
}
