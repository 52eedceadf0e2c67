//! Table tests of what belongs into which routine.

use super::CallingMonitor;
use crate::event::{
    Callback, Chain, Event, Header, Kind, ModuleEvent, NblCall, NblEvent, NetPnpEvent, Overdue,
    TimerEvent,
};
use crate::table::{at, check, enter, import, import_about, leave};

fn within(callback: Callback, events: Vec<Event>) -> Vec<Event> {
    let mut all = vec![enter(callback, Some(0))];
    all.extend(events);
    all.push(leave(callback, Some(0), Some(0)));
    all
}

fn set_attributes() -> Event {
    at(Kind::Module(ModuleEvent::AttributesSet {
        adapter: 0,
        header: Header {
            structure: "NDIS_FILTER_ATTRIBUTES",
            address: 1,
            object_type: 0,
            revision: 1,
            size: 8,
            expected_type: 0,
            expected_revision: 1,
            expected_size: 8,
        },
        context: 1,
        flags: 0,
    }))
}

fn sends() -> Event {
    at(Kind::Nbl(NblEvent::Handed {
        adapter: 0,
        call: NblCall::Send,
        nbls: vec![],
        chain: Chain::WellFormed,
        count: None,
        dispatch_flag: false,
        low_resources: false,
        has_return_handler: true,
    }))
}

fn net_event(code: u32) -> Event {
    at(Kind::NetPnp(NetPnpEvent::Given { adapter: 0, code }))
}

#[test]
fn attach_and_detach_have_their_calls() {
    use Callback::{FilterAttach, FilterDetach, FilterRestart};
    check::<CallingMonitor>(vec![
        ("once", within(FilterAttach, vec![set_attributes()]), vec![]),
        (
            "twice",
            within(FilterAttach, vec![set_attributes(), set_attributes()]),
            vec!["attach-set-attributes-context"],
        ),
        (
            "elsewhere",
            within(FilterRestart, vec![set_attributes()]),
            vec!["attach-set-attributes-context"],
        ),
        (
            "OID in attach",
            within(FilterAttach, vec![import("NdisFOidRequest", &[])]),
            vec!["attach-no-oid"],
        ),
        (
            "OID in restart",
            within(FilterRestart, vec![import("NdisFOidRequest", &[])]),
            vec![],
        ),
        (
            "indicates in detach",
            within(FilterDetach, vec![import("NdisFIndicateStatus", &[])]),
            vec!["detach-closed-paths"],
        ),
        (
            "indicates in detach of the module",
            within(FilterDetach, vec![import_about("NdisFIndicateStatus", 0)]),
            vec!["detach-closed-paths"],
        ),
        (
            "indicates for another module in detach",
            within(FilterDetach, vec![import_about("NdisFIndicateStatus", 1)]),
            vec![],
        ),
        (
            "OID of another module in attach",
            within(FilterAttach, vec![import_about("NdisFOidRequest", 1)]),
            vec![],
        ),
        (
            "returns in detach",
            within(FilterDetach, vec![import("NdisFReturnNetBufferLists", &[])]),
            vec![],
        ),
    ]);
}

#[test]
fn calls_have_their_place() {
    let rows: Vec<(&str, Callback, &'static str, Vec<&str>)> = vec![
        (
            "",
            Callback::FilterSetModuleOptions,
            "NdisSetOptionalHandlers",
            vec![],
        ),
        (
            "",
            Callback::FilterRestart,
            "NdisSetOptionalHandlers",
            vec!["setmodule-options-context"],
        ),
        ("", Callback::FilterNetPnPEvent, "NdisFNetPnPEvent", vec![]),
        (
            "",
            Callback::FilterRestart,
            "NdisFNetPnPEvent",
            vec!["netpnp-forward-context"],
        ),
        (
            "",
            Callback::FilterOidRequest,
            "NdisFNetPnPEvent",
            vec!["oid-no-netpnp-in-handler"],
        ),
        (
            "",
            Callback::FilterDevicePnPEventNotify,
            "NdisFDevicePnPEventNotify",
            vec![],
        ),
        (
            "",
            Callback::NdisIoWorkItemRoutine,
            "NdisFDevicePnPEventNotify",
            vec!["devpnp-forward-before-return"],
        ),
        ("", Callback::FilterOidRequest, "NdisWaitEvent", vec![]),
        (
            "",
            Callback::FilterSynchronousOidRequest,
            "NdisWaitEvent",
            vec!["sync-oid-no-block"],
        ),
        (
            "",
            Callback::SystemThread,
            "PsTerminateSystemThread",
            vec![],
        ),
        (
            "",
            Callback::NdisIoWorkItemRoutine,
            "PsTerminateSystemThread",
            vec!["wi-routine-no-terminate"],
        ),
        ("", Callback::TimerFunction, "KeGetCurrentIrql", vec![]),
        (
            "",
            Callback::FilterSendNetBufferLists,
            "KeGetCurrentIrql",
            vec!["flags-irql-no-probe"],
        ),
        (
            "",
            Callback::FilterAttach,
            "NdisOpenConfigurationEx",
            vec![],
        ),
        (
            "",
            Callback::NdisIoWorkItemRoutine,
            "NdisOpenConfigurationEx",
            vec!["config-when"],
        ),
        (
            "",
            Callback::FilterCancelSendNetBufferLists,
            "NdisFCancelSendNetBufferLists",
            vec![],
        ),
        (
            "",
            Callback::FilterCancelSendNetBufferLists,
            "KeSetEvent",
            vec!["cancel-send-forward"],
        ),
    ];
    check::<CallingMonitor>(
        rows.into_iter()
            .map(|(_, callback, name, expected)| {
                (name, within(callback, vec![import(name, &[])]), expected)
            })
            .collect(),
    );
}

#[test]
fn net_events_are_refused_only_where_they_may() {
    let fails = leave(Callback::FilterNetPnPEvent, Some(0), Some(0xC000_0001));
    let enters = || enter(Callback::FilterNetPnPEvent, Some(0));
    check::<CallingMonitor>(vec![
        (
            "query power",
            vec![net_event(1), enters(), fails.clone()],
            vec![],
        ),
        (
            "set power",
            vec![net_event(0), enters(), fails],
            vec!["netpnp-return"],
        ),
        (
            "forbidden",
            vec![at(Kind::NetPnp(NetPnpEvent::Issued { code: 21 }))],
            vec!["netpnp-forbidden-events"],
        ),
        (
            "forwarded",
            vec![at(Kind::NetPnp(NetPnpEvent::Issued { code: 7 }))],
            vec![],
        ),
    ]);
}

#[test]
fn a_power_state_waits_for_nothing() {
    let enters = || enter(Callback::FilterNetPnPEvent, Some(0));
    let hangs = || {
        at(Kind::Overdue(Overdue::Callback {
            callback: Callback::FilterNetPnPEvent,
            adapter: Some(0),
            waited_ns: 10_000_000_000,
        }))
    };
    check::<CallingMonitor>(vec![
        (
            "set power",
            vec![net_event(0), enters(), hangs()],
            vec!["netpnp-setpower-no-wait"],
        ),
        ("another", vec![net_event(1), enters(), hangs()], vec![]),
        (
            "returns",
            vec![
                net_event(0),
                enters(),
                leave(Callback::FilterNetPnPEvent, Some(0), Some(0)),
            ],
            vec![],
        ),
    ]);
}

#[test]
fn timers_rest_while_paused() {
    let timer = Callback::TimerFunction;
    let of_timer = |event| at(Kind::Timer(event));
    let set = || {
        of_timer(TimerEvent::Set {
            timer: 7,
            period_ms: 0,
        })
    };
    let fires = || {
        of_timer(TimerEvent::Fired {
            timer: 7,
            context: 0,
        })
    };
    let begins = || enter(Callback::FilterPause, Some(0));
    let returns = || leave(Callback::FilterPause, Some(0), Some(0));
    check::<CallingMonitor>(vec![
        (
            "running",
            vec![set(), fires(), enter(timer, None), sends()],
            vec![],
        ),
        (
            "when FilterPause has returned",
            vec![
                set(),
                begins(),
                returns(),
                fires(),
                enter(timer, None),
                sends(),
            ],
            vec!["pause-stop-timers"],
        ),
        (
            "before it can be cancelled",
            vec![
                set(),
                begins(),
                fires(),
                enter(timer, None),
                sends(),
                returns(),
            ],
            vec![],
        ),
        (
            "set by FilterPause",
            vec![
                begins(),
                set(),
                fires(),
                enter(timer, None),
                sends(),
                returns(),
            ],
            vec!["pause-stop-timers"],
        ),
        (
            "it runs already",
            vec![
                set(),
                fires(),
                enter(timer, None),
                begins(),
                returns(),
                sends(),
            ],
            vec![],
        ),
        (
            "restarted",
            vec![
                begins(),
                returns(),
                set(),
                fires(),
                enter(Callback::FilterRestart, Some(0)),
                enter(timer, None),
                sends(),
            ],
            vec![],
        ),
    ]);
}
