//! What the driver tells event tracing: the names are an interface, a log says what was printed, and bad input is survived.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use tests::{Lab, Scratch, capture, driver, named};

/// Every event and its fields: tools look for these names, so a name that is here stays.
const EVENTS: &[(&str, &[&str])] = &[
    (
        "BadParameter",
        &["IfIndex", "Name", "Problem", "Value", "Used"],
    ),
    ("BadRules", &["IfIndex", "Problem", "Rule", "Text"]),
    ("CopiesShort", &["IfIndex", "Made", "Wanted"]),
    ("DriverLoaded", &["Version", "NdisMinor"]),
    ("DriverNotLoaded", &["Status"]),
    (
        "DriverRundown",
        &["Version", "NdisMinor", "RefusedEvents", "RefusedMessages"],
    ),
    ("DriverUnloaded", &["RefusedEvents", "RefusedMessages"]),
    (
        "FlowEnded",
        &[
            "IfIndex",
            "Kind",
            "Protocol",
            "A",
            "B",
            "Reason",
            "PacketsAB",
            "PacketsBA",
            "BytesAB",
            "BytesBA",
            "DurationNs",
        ],
    ),
    ("FlowRefused", &["IfIndex", "Capacity"]),
    (
        "FlowRundown",
        &[
            "IfIndex",
            "Kind",
            "Protocol",
            "A",
            "B",
            "PacketsAB",
            "PacketsBA",
            "BytesAB",
            "BytesBA",
        ],
    ),
    (
        "FlowStarted",
        &["IfIndex", "Kind", "Protocol", "A", "B", "Direction"],
    ),
    ("MessagesNotRegistered", &["Status"]),
    ("ModeChanged", &["IfIndex", "From", "To"]),
    ("ModeNotChanged", &["IfIndex", "Mode", "Status"]),
    (
        "ModuleAttached",
        &["IfIndex", "BaseIfIndex", "MacAddress", "DurationNs"],
    ),
    ("ModuleDetached", &["IfIndex", "DurationNs"]),
    ("ModuleNotAttached", &["IfIndex", "Status", "DurationNs"]),
    ("ModuleNotRestarted", &["IfIndex", "Status", "DurationNs"]),
    ("ModulePaused", &["IfIndex", "Reason", "DurationNs"]),
    ("ModuleRestarted", &["IfIndex", "Mode", "DurationNs"]),
    (
        "ModuleRundown",
        &["IfIndex", "BaseIfIndex", "MacAddress", "Mode", "State"],
    ),
    (
        "PacketJudged",
        &[
            "IfIndex",
            "Direction",
            "Blocked",
            "Protocol",
            "Source",
            "Destination",
            "Length",
        ],
    ),
    (
        "PacketsMissed",
        &["IfIndex", "Direction", "Reason", "Packets", "Dropped"],
    ),
    ("ParameterNotRead", &["IfIndex", "Name", "Status"]),
    ("ParametersNotRead", &["IfIndex", "Status"]),
    (
        "ParametersRead",
        &[
            "IfIndex",
            "Mode",
            "Rules",
            "DropsAtOverload",
            "HoldLimit",
            "MaxHoldNs",
            "WorkerBudgetNs",
            "FlowIdleNs",
        ],
    ),
    ("RequestRefused", &["Code", "Status", "Function"]),
    ("RulesChanged", &["IfIndex", "From", "To", "Text"]),
    (
        "SnapshotsLost",
        &["IfIndex", "Direction", "Packets", "Capacity"],
    ),
    (
        "Statistics",
        &[
            "IfIndex",
            "Mode",
            "PacketsSent",
            "BytesSent",
            "PacketsReceived",
            "BytesReceived",
            "Inspected",
            "NotInspected",
            "Dropped",
            "Waiting",
            "Flows",
            "WorkRuns",
            "LongestQueuedNs",
        ],
    ),
    ("WorkQueued", &["IfIndex", "Work", "Coalesced"]),
    ("WorkStarted", &["IfIndex", "Work", "QueuedNs"]),
    (
        "WorkStopped",
        &["IfIndex", "Work", "Packets", "DurationNs", "BudgetSpent"],
    ),
];

fn traced() -> Lab {
    Lab::run(&driver("deferlwf")).with(["--trace", "all"])
}

fn name(event: &Value) -> &str {
    event["name"].as_str().expect("every event has a name")
}

#[test]
fn names_are_those_that_are_documented() {
    let image = fs::read(driver("deferlwf")).expect("the image can be read");
    let holds = |bytes: &[u8]| image.windows(bytes.len()).any(|window| window == bytes);
    let documented = include_str!("../docs/tracing.md");
    for (event, fields) in EVENTS {
        // The metadata of an event: no tag, its name, and its first field.
        let metadata = [&[0], event.as_bytes(), &[0], fields[0].as_bytes(), &[0]].concat();
        assert!(holds(&metadata), "{event} is not in the image");
        for field in *fields {
            assert!(holds(&[field.as_bytes(), &[0]].concat()), "{event}.{field}");
        }
        let heading = format!("| `{event}` |");
        assert!(documented.contains(&heading), "{event} is in no document");
    }

    let known: BTreeMap<&str, &[&str]> = EVENTS.iter().copied().collect();
    let runs = [
        traced()
            .pcap(&capture("http1"))
            .set("RingEntries", 16)
            .set("SnapLen", 1)
            .with(["--modes", "inline,off,tap"]),
        traced()
            .pcap(&capture("dns"))
            .set("Mode", 2)
            .set("Block", "udp")
            .set("HoldLimit", 1),
        traced().set("Block", "tcp:x"),
        traced().with(["--fail", "NdisFRegisterFilterDriver"]),
        traced().with(["--fail", "NdisAllocateIoWorkItem"]),
        traced().with(["--fail", "NdisOpenConfigurationEx"]),
        traced().with(["--fail", "NdisReadConfiguration"]),
        traced().with(["--fail", "NdisAllocateMdl"]),
        traced().with(["--fail", "EtwRegisterClassicProvider"]),
        traced().with(["--medium", "0,9"]),
        traced().with(["--modes", "off,tap", "--fail", "NdisFRestartFilter"]),
    ];
    // Little room, and a session that comes while there are flows.
    let hard = (0..100).map(|seed| {
        let lab = traced().set("RingEntries", 16).set("MaxFlows", 16);
        lab.with(["--hard", "--seed", &seed.to_string()])
    });
    let wanted = EVENTS.iter().map(|(event, _)| (*event).to_owned());
    let wanted: BTreeSet<String> = wanted.collect();
    let mut seen = BTreeSet::new();
    for lab in runs.into_iter().chain(hard) {
        if seen == wanted {
            break;
        }
        for event in lab.events() {
            let fields = event["fields"].as_object().expect("fields");
            let fields: Vec<&str> = fields.keys().map(String::as_str).collect();
            assert_eq!(known.get(name(&event)), Some(&&fields[..]), "{event}");
            assert_eq!(event["provider"], "Deferlwf");
            assert_eq!(event.get("problem"), None, "{event}");
            // Its row begins with its level and its keywords.
            let keywords = event["keywords"].as_u64().expect("keywords");
            let row = format!(
                "| `{}` | {} | `{keywords:#x}` |",
                name(&event),
                event["level"]
            );
            assert!(documented.contains(&row), "{row}");
            assert_eq!(event["opcode"], opcode(name(&event)), "{event}");
            seen.insert(name(&event).to_owned());
        }
    }
    assert_eq!(seen, wanted);
}

/// The opcode of an event, as `docs/tracing.md` has it.
fn opcode(event: &str) -> u8 {
    match event {
        "DriverLoaded" | "ModuleAttached" | "WorkStarted" | "FlowStarted" => 1,
        "DriverUnloaded" | "ModuleDetached" | "WorkStopped" | "FlowEnded" => 2,
        "DriverRundown" | "ModuleRundown" | "FlowRundown" => 3,
        _ => 0,
    }
}

/// The provider's GUID, which is computed from its name, is the one that documents and scripts have.
#[test]
fn the_provider_is_the_one_that_scripts_ask_for() {
    let guid = "7e45679e-87d9-5082-3d2f-039eec7e8c85";
    let in_memory = [
        0x9E, 0x67, 0x45, 0x7E, 0xD9, 0x87, 0x82, 0x50, 0x3D, 0x2F, 0x03, 0x9E, 0xEC, 0x7E, 0x8C,
        0x85,
    ];
    let image = fs::read(driver("deferlwf")).expect("the image can be read");
    assert!(image.windows(16).any(|window| window == in_memory));
    assert!(include_str!("../docs/tracing.md").contains(guid));
    assert!(include_str!("../scripts/trace.ps1").contains(guid));
    let profile = include_str!("../scripts/deferlwf.wprp");
    assert_eq!(profile.matches("Name=\"*Deferlwf\"").count(), 2);
    // Both ask for all keywords, and for what is there.
    let keywords = "<Keyword Value=\"0x1FF\"/>";
    assert_eq!(profile.matches(keywords).count(), 4);
    assert_eq!(profile.matches("<CaptureStateOnStart>").count(), 2);
    let documented = include_str!("../docs/tracing.md");
    let (_, table) = documented.split_once("## Keywords").expect("keywords");
    let bits: Vec<u64> = table
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| {
            let digits = line.strip_prefix("| `0x")?.split('`').next()?;
            u64::from_str_radix(digits, 16).ok()
        })
        .collect();
    assert_eq!(bits.iter().sum::<u64>(), 0x1FF);
}

#[test]
fn a_log_holds_what_was_printed() {
    let scratch = Scratch::new("log");
    let log = scratch.path().join("run.etl");
    let lab = traced()
        .pcap(&capture("tls13"))
        .pcap(&capture("ping"))
        .with(["--etl".as_ref(), log.as_os_str()]);
    let mut printed = lab.records();
    let formats = driver("deferlwf").with_extension("tmf");
    let decode = Lab::decode(&log).with(["--tmf".as_ref(), formats.as_os_str()]);
    let output = decode.clone().with(["--json"]).output();
    assert_eq!((output.exit, output.stderr.as_str()), (0, ""));
    let decoded: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect();
    for event in &mut printed {
        // A log does not say it.
        event.as_object_mut().expect("an object").remove("irql");
    }
    assert!(printed.len() > 50);
    assert_eq!(decoded, printed);
    // The same without JSON is a line each.
    let lines = decode.output().stdout;
    assert_eq!(lines.lines().count(), printed.len());
}

#[test]
fn a_session_that_wants_less_gets_less() {
    let all = traced().pcap(&capture("http1")).events();
    let level = |event: &Value| event["level"].as_u64();
    assert!(all.iter().any(|event| level(event) == Some(5)));
    let lab = traced().pcap(&capture("http1"));
    let some = lab.with(["--trace-level", "information"]).events();
    assert!(!some.is_empty() && some.iter().all(|event| level(event) <= Some(4)));
    let lab = Lab::run(&driver("deferlwf")).pcap(&capture("http1"));
    let flows = lab.clone().with(["--trace", "0x20"]).events();
    let is_flow = |event: &Value| name(event).starts_with("Flow");
    assert!(!flows.is_empty() && flows.iter().all(is_flow));
    // With none of its events wanted nothing is written, and without a session nothing printed.
    assert_eq!(
        lab.clone().with(["--trace", "0x8000000000000000"]).events(),
        [0; 0]
    );
    assert_eq!(lab.output().stdout.lines().count(), 1);
}

#[test]
fn flows_add_up_to_what_the_driver_counts() {
    let lab = traced().pcap(&capture("http1"));
    let output = lab.passed();
    let flows = output.summary().flow_count.expect("the driver says") as usize;
    let all = output.events();
    assert!(flows > 0);
    assert_eq!(named(&all, "FlowStarted").len(), flows);
    assert_eq!(named(&all, "FlowEnded").len(), flows);
    let runs = named(&all, "WorkStarted").len();
    assert_eq!(named(&all, "WorkStopped").len(), runs);
}

#[test]
fn parameters_that_are_wrong_are_told() {
    let lab = traced()
        .set("SnapLen", 1)
        .set("RingEntries", "many")
        .set("Block", format!("tcp:23, {}", "x".repeat(400)));
    let all = lab.events();
    let bad: BTreeMap<&str, &Value> = named(&all, "BadParameter")
        .iter()
        .map(|event| {
            let fields = &event["fields"];
            (fields["Name"].as_str().expect("a name"), fields)
        })
        .collect();
    assert_eq!(bad.len(), 2, "{bad:?}");
    assert_eq!(bad["SnapLen"]["Problem"], "range");
    assert_eq!(bad["SnapLen"]["Value"], 1);
    assert_eq!(bad["SnapLen"]["Used"], 256);
    assert_eq!(bad["RingEntries"]["Problem"], "type");
    let rules = named(&all, "BadRules");
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0]["fields"]["Problem"], "rule");
    assert_eq!(rules[0]["fields"]["Rule"], 1);
    let text = rules[0]["fields"]["Text"].as_str().expect("text");
    // Cut, with a mark.
    assert_eq!(text.len(), 259);
    assert!(text.starts_with("tcp:23, xxx") && text.ends_with("xx..."));
    // A list of rules that is longer than the driver has room for is no text for it.
    let all = traced().set("Block", "x".repeat(600)).events();
    assert_eq!(named(&all, "BadRules")[0]["fields"]["Problem"], "type");
}

/// That the rules are others is told, also where they are as many as before.
#[test]
fn other_rules_are_told_though_they_are_as_many() {
    let lab = traced()
        .pcap(&capture("http1"))
        .set("Block", "udp:53, tcp:23");
    let all = lab.with(["--set-later", "Block=icmp, tcp:23"]).events();
    let changed: Vec<&Value> = named(&all, "RulesChanged")
        .iter()
        .map(|event| &event["fields"])
        .collect();
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert_eq!(
        (&changed[0]["From"], &changed[0]["To"]),
        (&0.into(), &2.into())
    );
    assert_eq!(changed[0]["Text"], "udp:53, tcp:23");
    assert_eq!(
        (&changed[1]["From"], &changed[1]["To"]),
        (&2.into(), &2.into())
    );
    assert_eq!(changed[1]["Text"], "icmp, tcp:23");
    // What is the same is no change.
    let lab = traced().pcap(&capture("http1")).set("Block", "tcp:23");
    let all = lab
        .with(["--set-later", "Block=tcp:23", "--set-later", "HoldLimit=7"])
        .events();
    assert_eq!(named(&all, "RulesChanged").len(), 1);
    assert_eq!(named(&all, "ParametersRead")[1]["fields"]["HoldLimit"], 7);
}

/// What can be read of a log is printed, and one line says what is wrong with the rest.
#[test]
fn a_log_that_is_damaged_or_none_is_read_as_far_as_it_goes() {
    let scratch = Scratch::new("damaged");
    let log = scratch.path().join("run.etl");
    let lab = traced().pcap(&capture("http1"));
    let printed = lab.with(["--etl".as_ref(), log.as_os_str()]).records();
    let bytes = fs::read(&log).expect("a log");
    for (length, complaint) in [
        (0, "is no trace log"),
        (100, "is no trace log"),
        (bytes.len() - 0x1_0000, "buffers"),
        (bytes.len() - 0x8000, "ends within the buffer"),
    ] {
        let short = scratch.file("short.etl", &bytes[..length]);
        let output = Lab::decode(&short).output();
        assert_eq!(output.exit, 2, "{length}");
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert!(output.stderr.contains(complaint), "{}", output.stderr);
        let lines = output.stdout.lines().count();
        assert!(lines <= printed.len(), "{length}");
        assert!(length < 0x2_0000 || lines > 0, "{length}");
    }
    let output = Lab::decode(&driver("deferlwf")).output();
    assert_eq!((output.exit, output.stdout.as_str()), (2, ""));
    let output = Lab::decode(&scratch.path().join("nothing.etl")).output();
    assert_eq!(output.exit, 2);
}

/// What an event is of: a module, or a flow of one, whichever end is `A`.
fn subject(event: &Value) -> String {
    let field = |name: &str| event["fields"][name].to_string();
    let mut ends = [field("A"), field("B")];
    ends.sort();
    let of = [field("IfIndex"), field("Kind"), field("Protocol")];
    [&of[..], &ends].concat().join(" ")
}

/// Whoever asks what is there hears of every module and every flow that was there all the while, once, and of nothing
/// that was gone. Gives how many there were.
fn assert_rundowns_are_whole(all: &[Value], noun: &str, ends: &str) -> usize {
    let begins: Vec<usize> = (0..all.len())
        .filter(|at| name(&all[*at]) == "DriverRundown")
        .collect();
    let mut told_of = 0;
    for (index, &begin) in begins.iter().enumerate() {
        let next = begins.get(index + 1).copied().unwrap_or(all.len());
        let is_part = |event: &&Value| name(event).ends_with("Rundown");
        let end = all[..next].iter().rposition(|event| is_part(&event));
        let end = end.expect("the rundown's own beginning");
        let there = |events: &[Value]| {
            let mut there = BTreeSet::new();
            for event in events {
                match name(event).strip_prefix(noun) {
                    Some("Started" | "Attached") => there.insert(subject(event)),
                    Some(word) if word == ends => there.remove(&subject(event)),
                    _ => false,
                };
            }
            there
        };
        let (before, after) = (there(&all[..begin]), there(&all[..end]));
        let mut told = BTreeSet::new();
        for event in named(&all[begin..next], &format!("{noun}Rundown")) {
            assert!(told.insert(subject(event)), "twice: {event}");
        }
        let came = |subject: &&String| {
            let mut meanwhile = all[begin..end].iter();
            meanwhile.any(|event| self::subject(event) == **subject)
        };
        let all_the_while: BTreeSet<&String> = before.intersection(&after).collect();
        let gone: Vec<&String> = told.difference(&before).filter(|it| !came(it)).collect();
        assert!(gone.is_empty(), "{noun}s that are not there: {gone:?}");
        let missing: Vec<_> = all_the_while
            .into_iter()
            .filter(|it| !told.contains(*it))
            .collect();
        assert!(missing.is_empty(), "{noun}s that are not told: {missing:?}");
        told_of += told.len();
    }
    told_of
}

#[test]
fn hard_lives_have_sessions_that_come_and_go() {
    let (mut visited, mut switched, mut modules, mut flows) = (0, 0, 0, 0);
    for seed in 0..48_u64 {
        let lab = traced().with(["--hard", "--seed", &seed.to_string()]);
        let output = lab.passed();
        // The session that prints asks once. Every fourth life has others, which may come when nobody is attached.
        let events = output.events();
        visited += usize::from(named(&events, "DriverRundown").len() > 1);
        modules += assert_rundowns_are_whole(&events, "Module", "Detached");
        flows += assert_rundowns_are_whole(&events, "Flow", "Ended");
        // Another session takes the messages away, which who has them sees begin; if they come back, that is seen to end.
        let messages = output.messages();
        let shown = |wanted: &str| {
            let texts = messages.iter().filter(|message| message["text"] == wanted);
            texts.count()
        };
        let begins = shown("WppEnableCallback begins");
        let ends = shown("WppEnableCallback ends");
        assert!(ends > 0, "{seed}");
        switched += usize::from(begins > 0 && ends > 1);
    }
    assert!((1..48).contains(&visited), "{visited}");
    assert!(switched > 0);
    assert!(modules > 48 && flows > 48, "{modules} {flows}");
}
