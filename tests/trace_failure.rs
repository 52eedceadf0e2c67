//! Promise: whatever fails is told with its status, and tracing that fails changes nothing.

use serde_json::Value;
use tests::{Lab, capture, driver, named};

fn traced() -> Lab {
    Lab::run(&driver("deferlwf")).with(["--trace", "all"])
}

#[test]
fn a_driver_that_cannot_be_registered_runs_untraced() {
    for import in ["EtwRegister", "EtwSetInformation"] {
        let lab = traced().pcap(&capture("ping")).with(["--fail", import]);
        let output = lab.passed();
        assert_eq!(output.events(), [0; 0], "{import}");
        let is_told = |message: &Value| {
            message["level"] == 2 && message["text"] == "events are not registered: 0xc000009a"
        };
        assert!(output.messages().iter().any(is_told), "{import}");
    }
}

#[test]
fn whatever_fails_is_told_with_its_status() {
    const NO_MEMORY: Option<&str> = Some("0xc000009a");
    const UNSUCCESSFUL: Option<&str> = Some("0xc0000001");
    const NOT_SUPPORTED: Option<&str> = Some("0xc00000bb");
    for (import, told, status) in [
        ("ExAllocatePool2", "DriverNotLoaded", NO_MEMORY),
        ("IoAllocateWorkItem", "DriverNotLoaded", NO_MEMORY),
        ("MmMapLockedPagesSpecifyCache", "PacketsMissed", None),
        ("NdisAllocateIoWorkItem", "ModuleNotAttached", NO_MEMORY),
        ("NdisAllocateMdl", "CopiesShort", None),
        ("NdisAllocateNetBufferAndNetBufferList", "CopiesShort", None),
        ("NdisAllocateNetBufferListPool", "CopiesShort", None),
        ("NdisAllocateTimerObject", "ModuleNotAttached", NO_MEMORY),
        ("NdisFRegisterFilterDriver", "DriverNotLoaded", NO_MEMORY),
        ("NdisFRestartFilter", "ModeNotChanged", UNSUCCESSFUL),
        ("NdisFSetAttributes", "ModuleNotAttached", UNSUCCESSFUL),
        ("NdisOpenConfigurationEx", "ParametersNotRead", NO_MEMORY),
        ("NdisReadConfiguration", "ParameterNotRead", NO_MEMORY),
        ("NdisRegisterDeviceEx", "DriverNotLoaded", NO_MEMORY),
        ("NdisSetOptionalHandlers", "ModeNotChanged", NO_MEMORY),
        (
            "EtwRegisterClassicProvider",
            "MessagesNotRegistered",
            NO_MEMORY,
        ),
        (
            "MmGetSystemRoutineAddress",
            "MessagesNotRegistered",
            NOT_SUPPORTED,
        ),
    ] {
        let lab = traced().pcap(&capture("ping"));
        let all = lab.with(["--modes", "off,tap", "--fail", import]).events();
        let all = named(&all, told);
        assert!(!all.is_empty(), "{import}");
        assert!(all.iter().all(|event| event["level"].as_u64() <= Some(3)));
        let found = all[0]["fields"].get("Status").and_then(Value::as_str);
        assert_eq!(found, status, "{import}");
        // What comes without a status is a warning.
        assert_eq!(all[0]["level"] == 2, status.is_some(), "{import}");
        if import == "NdisOpenConfigurationEx" {
            // The driver's and the adapter's.
            assert_eq!(all.len(), 2);
        }
    }
}

#[test]
fn a_mode_that_ndis_refuses_is_told_once() {
    // As the module was attached with it, and as somebody has asked for it.
    let fails = ["--fail", "NdisSetOptionalHandlers"];
    let attached = traced().set("Mode", 0).with(fails).events();
    let asked = traced().with(["--modes", "off"]).with(fails).events();
    for all in [attached, asked] {
        let refused = named(&all, "ModeNotChanged");
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0]["fields"]["Mode"], "tap");
        assert_eq!(refused[0]["fields"]["Status"], "0xc000009a");
    }
}

#[test]
fn a_module_is_not_restarted_on_another_medium() {
    let all = traced().with(["--medium", "0,9"]).events();
    let refused = named(&all, "ModuleNotRestarted");
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["fields"]["Status"], "0xc0010019");
    assert_eq!(named(&all, "ModuleRestarted").len(), 0);
    let all = traced().with(["--medium", "9"]).events();
    assert_eq!(named(&all, "ModuleNotAttached").len(), 1);
}

#[test]
fn packets_that_cannot_be_mapped_are_told() {
    for mode in [1, 2] {
        let lab = traced().pcap(&capture("ping")).set("Mode", mode);
        let lab = lab.with(["--fail", "MmMapLockedPagesSpecifyCache"]);
        let output = lab.passed();
        let all = output.events();
        let missed = named(&all, "PacketsMissed");
        let unmapped = missed
            .iter()
            .filter(|event| event["fields"]["Reason"] == "unmapped");
        let packets: u64 = unmapped
            .map(|event| event["fields"]["Packets"].as_u64().expect("a number"))
            .sum();
        // As many as the driver has counted.
        let reasons = output.summary().not_inspected.unwrap_or_default();
        let counted = reasons.iter().find(|reason| reason.reason == "no memory");
        assert!(packets > 0);
        assert_eq!(counted.map(|reason| reason.packets), Some(packets));
    }
}

#[test]
fn records_that_the_system_does_not_take_are_counted() {
    for (import, field, other) in [
        ("EtwWriteTransfer", "RefusedEvents", "RefusedMessages"),
        ("WmiTraceMessage", "RefusedMessages", "RefusedEvents"),
    ] {
        let lab = traced().pcap(&capture("http1")).with(["--fail", import]);
        let output = lab.passed();
        let records = output.records();
        // A session that comes again asks, and so does unload: where the stack of the call has failed already, it is told.
        let told = records.iter().filter_map(|record| {
            let fields = record["fields"].as_object()?;
            assert!(fields.get(other).is_none_or(|count| count == 0), "{record}");
            fields.get(field).and_then(Value::as_u64)
        });
        let message = records.iter().filter_map(|record| {
            let text = record["text"].as_str()?.strip_prefix("refused were ")?;
            text.split(' ').next()?.parse().ok()
        });
        let most = told.chain(message).max();
        assert!(most > Some(0), "{import}");
        let notes = output.summary().notes;
        let is_said = |note: &String| note.starts_with("the system did not take ");
        assert!(notes.iter().any(is_said), "{notes:?}");
    }
}

#[test]
fn events_are_as_long_as_they_can_be_and_no_longer() {
    let lab = Lab::run(&driver("traced")).with(["--trace", "all"]);
    let output = lab.passed();
    let all = output.events();
    let numbers = &named(&all, "Numbers")[0]["fields"];
    let expected = [
        ("I8Low", Value::from(i8::MIN)),
        ("U8High", u8::MAX.into()),
        ("I16Low", i16::MIN.into()),
        ("U16High", u16::MAX.into()),
        ("I32Low", i32::MIN.into()),
        ("U32High", u32::MAX.into()),
        ("I64Low", i64::MIN.into()),
        ("U64High", u64::MAX.into()),
        ("Hex", "0xfedcba98".into()),
        ("Yes", true.into()),
        ("No", false.into()),
        ("Status", "0xc000009a".into()),
    ];
    for (name, value) in expected {
        assert_eq!(numbers[name], value, "{name}");
    }
    let texts = &named(&all, "Texts")[0]["fields"];
    let expected = [
        ("Empty", String::new()),
        ("Longest", "x".repeat(256)),
        ("Cut", "x".repeat(256) + "..."),
        ("Wide", "wide".to_owned()),
        ("Mac", "02:00:00:00:00:ff".to_owned()),
        ("V4", "255.255.255.255:65535".to_owned()),
        ("V6", "[::1]:0".to_owned()),
        ("Nothing", String::new()),
        ("Bytes", "007fff".to_owned()),
    ];
    for (name, value) in expected {
        assert_eq!(texts[name], value, "{name}");
    }
    // 40,000 bytes fit, twice as many do not: they are refused, counted, and the driver goes on.
    let fits = named(&all, "Fits")[0]["fields"]["Bytes"]
        .as_str()
        .expect("bytes");
    assert_eq!(fits.len(), 2 * 40_000);
    assert_eq!(named(&all, "DoesNotFit").len(), 0);
    let refused = named(&all, "Refused");
    let last = &refused.last().expect("it is told")["fields"];
    assert_eq!((&last["Events"], &last["Messages"]), (&1.into(), &1.into()));
    output.summary();
}
