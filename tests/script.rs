//! A script says what is done to an adapter, step by step or at the same time, and what it has to come to; under any
//! schedule it does just that.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use lab_cli::summary::{Script, Step, Summary};
use lab_cli::trial::stress;
use tests::{Lab, Output, Scratch, driver, script};

fn steps(summary: &Summary) -> &[Step] {
    let script: &Script = summary.script.as_ref().expect("a script was played");
    &script.steps
}

/// The one line on standard error.
fn line(output: &Output) -> &str {
    let mut lines = output.stderr.lines();
    let line = lines.next().unwrap_or_default();
    assert_eq!(lines.next(), None, "{output:?}");
    assert!(!line.contains("panicked"), "{line}");
    line
}

/// The committed scripts, each with drivers that it is for.
const PLAYS: &[(&str, &[&str])] = &[
    ("everything", &["everything"]),
    ("oid", &["everything"]),
    ("device", &["deferlwf"]),
    ("life", &["passthru", "deferlwf", "everything", "c-filter"]),
];

#[test]
fn scripts_do_what_they_say_in_each_driver() {
    for (name, drivers) in PLAYS {
        for image in *drivers {
            let summary = Lab::run(&driver(image)).script(&script(name)).clean();
            for step in steps(&summary) {
                assert!(step.times > 0 && step.failed.is_none(), "{image}: {step:?}");
            }
        }
    }
}

#[test]
fn a_seed_is_one_run_and_another_seed_another() {
    let play = |seed| {
        let lab = Lab::run(&driver("everything")).script(&script("life"));
        let output = lab.seed(seed).output();
        assert_eq!(output.exit, 0, "{output:?}");
        output
    };
    assert_eq!(play(5).stdout, play(5).stdout);
    let digest = |seed| play(seed).summary().schedule_digest;
    let digests: BTreeSet<String> = (0..8).map(digest).collect();
    assert_eq!(digests.len(), 8);
}

#[test]
fn stress_plays_a_script_under_many_schedules() {
    for (name, drivers) in PLAYS {
        for image in *drivers {
            let lab = Lab::stress(&driver(image)).script(&script(name));
            let output = lab.with(["--seeds", "24"]).output();
            assert_eq!(output.exit, 0, "{image}: {output:?}");
            let found: stress::Summary = output.object();
            assert_eq!((found.played, found.distinct), (24, 24), "{image}");
            assert!(found.warnings.is_empty(), "{image}: {:?}", found.warnings);
        }
    }
}

#[test]
fn sweep_fails_the_calls_that_a_script_leads_to() {
    let lab = Lab::sweep(&driver("passthru")).script(&script("life"));
    let output = lab.with(["--seeds", "2"]).output();
    assert_eq!(output.exit, 0, "{output:?}");
}

#[test]
fn what_comes_to_something_else_fails_and_names_step_and_line() {
    let scratch = Scratch::new("expectations");
    let text = "\
[[step]]
do = 'open'
file = 'f'
device = '\\Device\\Deferlwf'

[[step]]
do = 'ioctl'
file = 'f'
code = 0x8def7ffc
expect = { status = 'STATUS_SUCCESS' }

[[step]]
do = 'attach'
";
    let path = scratch.file("wrong.toml", text.as_bytes());
    let lab = Lab::run(&driver("deferlwf")).script(&path);
    let output = lab.output();
    assert_eq!(output.exit, 1, "{output:?}");
    let expected = format!(
        "lwf-lab: {}:6: step 2 (ioctl): status is 0xc0000010 (STATUS_INVALID_DEVICE_REQUEST), \
         expected 0x00000000 (STATUS_SUCCESS) (and 1 more)",
        path.display()
    );
    assert_eq!(line(&output), expected);
    let summary = output.summary();
    let failed: Vec<u32> = steps(&summary)
        .iter()
        .filter(|step| step.failed.is_some())
        .map(|step| step.number)
        .collect();
    assert_eq!(failed, [2, 3]);
    assert!(summary.violation.is_none());
    // The same under many schedules: the command that it prints fails too.
    let output = Lab::stress(&driver("deferlwf")).script(&path).output();
    assert_eq!(output.exit, 1, "{output:?}");
    let found: stress::Summary = output.object();
    let failure = found.failure.expect("it failed");
    assert_eq!(failure.failed_steps.len(), 2);
    let again = Lab::command_line(&failure.replay).output();
    assert_eq!((again.exit, again.summary().seed), (1, failure.seed));
}

#[test]
fn a_step_reaches_the_image_that_it_names() {
    let scratch = Scratch::new("images");
    let text = "\
[[step]]
do = 'oid'
kind = 'query'
oid = 'OID_GEN_MAXIMUM_FRAME_SIZE'
room = 4
expect = { output = 'd8050000' }

[[step]]
do = 'oid'
image = 'passthru.sys'
kind = 'query'
oid = 'OID_GEN_MAXIMUM_FRAME_SIZE'
room = 4

[[step]]
do = 'open'
file = 'upper'
image = 0
device = '\\Device\\DeferlwfEverything'
expect = { status = 0xc0000034 }

[[step]]
do = 'open'
file = 'lower'
device = '\\Device\\DeferlwfEverything'
expect = { status = 0 }

[[step]]
do = 'ioctl'
file = 'lower'
code = 0x8df06000
room = 136
expect = { status = 0, bytes = 136 }

[[step]]
do = 'detach'
image = 1

[[step]]
do = 'detach'
image = 'everything.sys'
expect = { done = false }

[[step]]
do = 'oid'
kind = 'query'
oid = 'OID_GEN_MAXIMUM_FRAME_SIZE'
room = 4
expect = { status = 0, bytes = 4 }

[[step]]
do = 'attach'
image = 'everything.sys'

[[step]]
do = 'send'
pcap = 'ping.pcapng'
";
    let path = scratch.file("stack.toml", text.as_bytes());
    fs::copy(tests::capture("ping"), scratch.path().join("ping.pcapng")).unwrap();
    let below = driver("everything");
    let lab = Lab::run(&driver("passthru")).script(&path);
    let summary = lab.with(["--below".as_ref(), below.as_os_str()]).clean();
    let [_, past, ..] = steps(&summary) else {
        panic!("{summary:?}")
    };
    assert_eq!(past.note.as_deref(), Some("no filter has a handler for it"));
    // One of the two has seen all of them.
    assert_eq!(summary.stack.len(), 2);
}

#[test]
fn nothing_is_asked_that_the_script_does_not_say() {
    let scratch = Scratch::new("asked");
    let play = |name: &str, text: &str| {
        let path = scratch.file(name, text.as_bytes());
        Lab::run(&driver("faulty"))
            .script(&path)
            .set("Fault", "oid-completed-twice")
    };
    // This driver completes requests twice.
    let quiet = play("quiet.toml", "[[step]]\ndo = 'wait'\nms = 50\n").clean();
    assert!(quiet.requests.is_empty(), "{:?}", quiet.requests);
    let text = "[[step]]\ndo = 'oid'\nkind = 'query'\noid = 'OID_GEN_RCV_OK'\nroom = 8\n";
    let finding = play("asks.toml", text).broken();
    assert_eq!(finding.rule, "oid-complete-once");
}

/// A script that cannot be used, and words of the line that says so.
const BAD: &[(&str, &[&str])] = &[
    ("", &["s.toml:1:", "no [[step]]"]),
    ("[[step]]\ndo = 'pause'\n[", &["s.toml:3:"]),
    ("\n\nstep = 7", &["s.toml:3:", "`step`", "an array"]),
    ("steps = []", &["s.toml:1:", "no key `steps`"]),
    ("[[step]]\nwhat = 1", &["s.toml:1:", "no `do`"]),
    ("[[step]]\ndo = 1", &["s.toml:2:", "`do`", "a string"]),
    ("[[step]]\ndo = 'fly'", &["s.toml:2:", "`fly`", "parallel"]),
    (
        "[[step]]\ndo = 'pause'\nhard = true",
        &["s.toml:3:", "`pause`", "no key `hard`"],
    ),
    (
        "[[step]]\ndo = 'pause'\ntimes = 0",
        &["s.toml:3:", "`times` is 0", "1 to"],
    ),
    (
        "[[step]]\ndo = 'pause'\ntimes = 99999999999999999999999999",
        &["s.toml:3:", "`times`"],
    ),
    (
        "[[step]]\ndo = 'pause'\nadapter = 1",
        &["s.toml:3:", "no such adapter", "1 idle"],
    ),
    (
        "[[step]]\ndo = 'pause'\nadapter = 'lan'",
        &["s.toml:3:", "no such adapter"],
    ),
    (
        "[[step]]\ndo = 'pause'\nimage = 1",
        &["s.toml:3:", "no such image", "passthru.sys"],
    ),
    (
        "[[adapter]]\nname = 'a'\n[[adapter]]\nname = 'a'\n[[step]]\ndo = 'pause'",
        &["s.toml:4:", "two adapters `a`"],
    ),
    (
        "[[adapter]]\nname = 'a'\nmac = '0102'\n[[step]]\ndo = 'pause'",
        &["s.toml:1:", "`mac` has 2 bytes"],
    ),
    (
        "[[step]]\ndo = 'oid'\nkind = 'query'\noid = 'OID_GEN_NOTHING'",
        &["s.toml:4:", "OID_GEN_NOTHING", "give its number"],
    ),
    (
        "[[step]]\ndo = 'oid'\nkind = 'ask'\noid = 1",
        &["s.toml:3:", "`kind` is `ask`", "query, set, method"],
    ),
    (
        "[[step]]\ndo = 'oid'\nkind = 'set'\noid = 1\ninput = '012'",
        &["s.toml:5:", "`input` has 3 hexadecimal digits", "odd"],
    ),
    (
        "[[step]]\ndo = 'oid'\nkind = 'set'\noid = 1\ninput = '01 0g'",
        &["s.toml:5:", "`g`, character 5"],
    ),
    (
        "[[step]]\ndo = 'oid'\nkind = 'query'\noid = 1\nroom = 1048577",
        &["s.toml:5:", "`room` is 1048577", "1048576"],
    ),
    (
        "[[step]]\ndo = 'oid'\nkind = 'query'\noid = 0x1_0000_0000",
        &["s.toml:4:", "`oid`"],
    ),
    (
        "[[step]]\ndo = 'oid'\nkind = 'query'\noid = -1",
        &["s.toml:4:", "`oid` is -1"],
    ),
    (
        "[[step]]\ndo = 'status'\ncode = 'OID_GEN_LINK_STATE'",
        &["s.toml:3:", "NDIS_STATUS_"],
    ),
    (
        "[[step]]\ndo = 'ioctl'\nfile = 'f'\ncode = 4",
        &["s.toml:3:", "no step before opens a file `f`"],
    ),
    (
        "[[step]]\ndo = 'open'\nfile = 'f'\ndevice = ''",
        &["s.toml:4:", "1 to 1024 characters"],
    ),
    (
        "[[step]]\ndo = 'send'",
        &["s.toml:1:", "`frames` or by `pcap`"],
    ),
    (
        "[[step]]\ndo = 'send'\nframes = '00'",
        &["s.toml:3:", "a frame has 1 bytes", "14"],
    ),
    (
        "[[step]]\ndo = 'send'\npcap = 'nowhere.pcap'",
        &["s.toml:3:", "nowhere.pcap", "No such file"],
    ),
    (
        "[[step]]\ndo = 'send'\npcap = 's.toml'",
        &["s.toml:3:", "s.toml"],
    ),
    (
        "[[step]]\ndo = 'wait'",
        &["s.toml:1:", "`ns`, `us` or `ms`"],
    ),
    (
        "[[step]]\ndo = 'wait'\nms = 1\nexpect = { status = 0 }",
        &["s.toml:4:", "`wait` tells no `status`", "`done`"],
    ),
    (
        "[[step]]\ndo = 'send'\nframes = '0102030405060708090a0b0c0d0e'\n\
         [step.expect]\npassed = 1\nstatus = 'STATUS_SUCCESS'",
        &[
            "s.toml:6:",
            "`send` tells no `status`",
            "`passed`, `dropped`, `done`",
        ],
    ),
    (
        "[[step]]\ndo = 'oid'\nkind = 'query'\noid = 1\nexpect = { dropped = 0 }",
        &["s.toml:5:", "`oid` tells no `dropped`", "`status`"],
    ),
    (
        "[[step]]\ndo = 'mode'\nmode = 'tap'\nexpect = { done = false, status = 0 }",
        &["s.toml:4:", "`mode` that is not done has no `status`"],
    ),
    (
        "[[file]]\nname = 'C:\\x'\ndata = ''\n[[step]]\ndo = 'pause'",
        &["s.toml:2:", "no file of the lab's disk"],
    ),
    (
        "[[file]]\nname = '\\??\\C:\\x'\n[[step]]\ndo = 'pause'",
        &["s.toml:1:", "`from` or by `data`"],
    ),
    (
        "[[file]]\nname = '\\??\\C:\\x'\nfrom = 'nowhere'\n[[step]]\ndo = 'pause'",
        &["s.toml:3:", "nowhere", "No such file"],
    ),
    (
        "[[step]]\ndo = 'wait'\nms = 20001",
        &["s.toml:3:", "`ms` is 20001"],
    ),
    (
        "[[step]]\ndo = 'oid'\nkind = 'query'\noid = 1\nroom = 1000000\ntimes = 100000",
        &["s.toml:1:", "room for more than 1024 MiB"],
    ),
    (
        "[[step]]\ndo = 'wait'\nms = 20000\ntimes = 100000",
        &["s.toml:1:", "1800 s"],
    ),
    (
        "[[step]]\ndo = 'parallel'\ntimes = 100000\nbranches = [[{ do = 'pause', times = 100000 }], []]",
        &["s.toml:4:", "10000000000 steps"],
    ),
    (
        "[[step]]\ndo = 'parallel'\nbranches = [[{ do = 'pause' }]]",
        &["s.toml:1:", "2 to 64"],
    ),
    (
        "[[step]]\ndo = 'parallel'\nbranches = [[{ do = 'parallel', branches = [[], []] }], []]",
        &["s.toml:3:", "group within a group"],
    ),
    (
        "[[step]]\ndo = 'pause'\nexpect = { state = 1 }",
        &["s.toml:3:", "no key `state`"],
    ),
];

#[test]
fn what_is_no_script_is_refused_with_its_line() {
    let scratch = Scratch::new("bad-scripts");
    for (text, words) in BAD {
        let path = scratch.file("s.toml", text.as_bytes());
        let output = Lab::run(&driver("passthru")).script(&path).output();
        assert_eq!(
            (output.exit, output.stdout.as_str()),
            (2, ""),
            "{text}: {output:?}"
        );
        let line = line(&output);
        for word in *words {
            assert!(line.contains(word), "no {word:?} in {line:?} of {text:?}");
        }
    }
    let left: Vec<PathBuf> = fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_is_no_text_and_what_has_no_place_is_refused() {
    let scratch = Scratch::new("no-scripts");
    let image = driver("passthru");
    let binary = scratch.file("binary.toml", &[0x5B, 0xFF, 0xFE]);
    let missing = scratch.path().join("missing.toml");
    let twice = scratch.file(
        "twice.toml",
        b"[[step]]\ndo = 'pause'\nimage = 'passthru.sys'",
    );
    let life = script("life");
    let capture = tests::capture("ping");
    for (lab, words) in [
        (
            Lab::run(&image)
                .with(["--below".as_ref(), image.as_os_str()])
                .script(&twice),
            "twice.toml:3: several images have this name: give its number, from 0 at the top",
        ),
        (Lab::run(&image).script(&binary), "not UTF-8 at byte 1"),
        (Lab::run(&image).script(&missing), "No such file"),
        (Lab::stress(&image).script(&missing), "No such file"),
        (Lab::run(&image).script(&life).pcap(&capture), "--pcap"),
        (Lab::run(&image).script(&life).with(["--hard"]), "--hard"),
        (
            Lab::command(["bench".as_ref(), image.as_os_str()]).script(&life),
            "no --script",
        ),
    ] {
        let output = lab.output();
        assert_eq!(output.exit, 2, "{output:?}");
        assert!(line(&output).contains(words), "no {words:?} in {output:?}");
    }
}

#[test]
fn a_script_that_takes_too_long_is_not_blamed_on_the_driver() {
    let scratch = Scratch::new("too-long");
    // Each send waits 12 s for the adapter.
    let frame = "00".repeat(60);
    let send = format!(
        "[[step]]\ndo = 'send'\nframes = '{frame}'\ntimes = 400\nexpect = {{ done = false }}\n"
    );
    let text = format!("[[step]]\ndo = 'pause'\n{send}[[step]]\ndo = 'restart'\n");
    let path = scratch.file("paused.toml", text.as_bytes());
    let output = Lab::run(&driver("passthru")).script(&path).output();
    assert_eq!(output.exit, 1, "{output:?}");
    assert!(
        line(&output)
            .ends_with("step 3 (restart): not done: the script takes more than 50 minutes")
    );
    assert!(output.summary().violation.is_none());
}

#[test]
fn a_capture_may_flow_beside_a_script() {
    let scratch = Scratch::new("beside");
    let text = "[[step]]\ndo = 'pause'\n[[step]]\ndo = 'wait'\nus = 40\n";
    let path = scratch.file("pause.toml", text.as_bytes());
    // What is still to come does not wait for ever for the adapter that the script has left paused.
    let lab = Lab::run(&driver("deferlwf")).script(&path);
    let summary = lab.pcap(&tests::capture("dns")).clean();
    assert_eq!(steps(&summary).len(), 2);
    let packets = summary.packets.ndis;
    assert!(packets.send > 0 && packets.receive > 0);
}
