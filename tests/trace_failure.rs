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
        assert_eq!(lab.events(), [0; 0], "{import}");
    }
}

#[test]
fn what_failed_is_told_with_its_status() {
    let lab = traced().with(["--fail", "NdisAllocateIoWorkItem"]);
    let output = lab.output();
    let failed: Vec<Value> = output
        .stdout
        .lines()
        .filter(|line| line.contains("ModuleNotAttached"))
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect();
    assert_eq!(failed[0]["fields"]["Status"], "0xc000009a");
    assert_eq!(failed[0]["level"], 2);
    let all = traced()
        .with(["--fail", "NdisOpenConfigurationEx"])
        .events();
    // The driver's and the adapter's.
    assert_eq!(named(&all, "ParametersNotRead").len(), 2);
}

#[test]
fn whatever_fails_is_told() {
    for (import, told) in [
        ("ExAllocatePool2", "DriverNotLoaded"),
        ("IoAllocateWorkItem", "DriverNotLoaded"),
        ("MmMapLockedPagesSpecifyCache", "PacketsMissed"),
        ("NdisAllocateIoWorkItem", "ModuleNotAttached"),
        ("NdisAllocateMdl", "CopiesShort"),
        ("NdisAllocateNetBufferAndNetBufferList", "CopiesShort"),
        ("NdisAllocateNetBufferListPool", "CopiesShort"),
        ("NdisAllocateTimerObject", "ModuleNotAttached"),
        ("NdisFRegisterFilterDriver", "DriverNotLoaded"),
        ("NdisFRestartFilter", "ModeNotChanged"),
        ("NdisFSetAttributes", "ModuleNotAttached"),
        ("NdisOpenConfigurationEx", "ParametersNotRead"),
        ("NdisReadConfiguration", "ParameterNotRead"),
        ("NdisRegisterDeviceEx", "DriverNotLoaded"),
        ("NdisSetOptionalHandlers", "ModeNotChanged"),
        ("EtwRegisterClassicProvider", "MessagesNotRegistered"),
        ("MmGetSystemRoutineAddress", "MessagesNotRegistered"),
    ] {
        let lab = traced().pcap(&capture("ping"));
        let all = lab.with(["--modes", "off,tap", "--fail", import]).events();
        let all = named(&all, told);
        assert!(!all.is_empty(), "{import}");
        assert!(all.iter().all(|event| event["level"].as_u64() <= Some(3)));
        // What comes without a status is a warning.
        let is_error = all[0]["level"] == 2;
        let fields = &all[0]["fields"];
        assert_eq!(fields.get("Status").is_some(), is_error, "{import}");
    }
    for import in ["EtwRegister", "EtwSetInformation"] {
        let lab = traced().with(["--fail", import]).records();
        let is_told = |record: &Value| {
            let text = record["text"].as_str().unwrap_or_default();
            record["level"] == 2 && text == "events are not registered: 0xc000009a"
        };
        assert!(lab.iter().any(is_told), "{import}");
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
        let all = lab.events();
        let missed = named(&all, "PacketsMissed");
        let unmapped = missed
            .iter()
            .filter(|event| event["fields"]["Reason"] == "unmapped");
        let packets: u64 = unmapped
            .map(|event| event["fields"]["Packets"].as_u64().expect("a number"))
            .sum();
        // As many as the driver has counted.
        let reasons = lab.clean().not_inspected.unwrap_or_default();
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
        let records = lab.records();
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
        let notes = lab.clean().notes;
        let is_said = |note: &String| note.starts_with("the system did not take ");
        assert!(notes.iter().any(is_said), "{notes:?}");
    }
}

#[test]
fn events_are_as_long_as_they_can_be_and_no_longer() {
    let lab = Lab::run(&driver("traced")).with(["--trace", "all"]);
    let all = lab.events();
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
    lab.clean();
}
