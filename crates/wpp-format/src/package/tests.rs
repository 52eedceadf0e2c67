use super::*;

const CONTROL: &str = "
wpp::control! {
    /// \"static X = 1\"
    pub(crate) static WPP = \"6f0d3a52-1c44-5a0b-9d6e-2b7a51c0e411\";
    /// Calls.
    pub(crate) flag Call;
    flag Data;
}
wpp::names! {
    /// Modes.
    enumeration Modes(crate::Mode) { Off = 0, Tap = 1 }
    pub(crate) flags Bits { A = 0x1, B = 0b10, }
}
";

fn read(sources: &[(&str, &str)]) -> Result<Package, Error> {
    let mut found = Found::default();
    for (path, content) in sources {
        found.add(Path::new(path), path, content)?;
    }
    let package = found.finish("mine", Path::new("mine"))?;
    Ok(package.expect("it has messages or a control"))
}

fn package(source: &str) -> Package {
    read(&[("a.rs", source), ("lib.rs", CONTROL)]).expect("it is as it should be")
}

const SOURCE: &str = "
impl A for B {
    fn attach(&self) -> [u8; { 3 }] {
        // wpp!(Error, Call, \"not this\");
        wpp!(Warning, crate::Call, \"{FUNC} {n:u32}\", n);
        x.iter().for_each(|y| { ::wpp::wpp!(Verbose, Data, \"{m:Modes}\", m,) });
    }
    fn declared();
    fn other() { fn inner() {} wpp!(Error, Call, \"b\") }
}
macro_rules! mine { ($level:ident) => { wpp!($level, Call, \"c\") } }
";

#[test]
fn messages_are_found_where_they_stand() {
    let package = package(SOURCE);
    let file = package.file("a.rs").expect("it has messages");
    let facts: Vec<_> = file
        .messages
        .iter()
        .map(|message| {
            (
                message.number,
                message.line,
                message.column,
                message.flag.as_str(),
                message.function.as_str(),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            (10, 5, 36, "Call", "attach"),
            (11, 6, 60, "Data", "attach"),
            (12, 9, 50, "Call", "other"),
        ]
    );
    assert_eq!(package.files().len(), 1);
    assert_eq!(package.flags, ["Call", "Data"]);
    let modes = package.named("Modes").expect("declared");
    assert_eq!(
        modes.members,
        [("Off".to_owned(), 0), ("Tap".to_owned(), 1)]
    );
    let bits = package.named("Bits").expect("declared");
    assert_eq!((bits.kind, bits.members.len()), (NamesKind::Flags, 2));
}

#[test]
fn the_guid_is_that_of_the_messages() {
    let id = |source: &str| package(source).file("a.rs").expect("messages").id;
    let before = id(SOURCE);
    // Lines and other code may change.
    assert_eq!(id(&format!("fn more() {{}}\n{SOURCE}")), before);
    for (old, new) in [
        ("{n:u32}", "{n:x32}"),
        ("{n:u32}", "{o:u32}"),
        ("Verbose", "Error"),
        ("Data, \"{m", "Call, \"{m"),
        ("fn attach", "fn detach"),
        ("\"b\"", "\"bb\""),
    ] {
        assert_ne!(id(&SOURCE.replace(old, new)), before, "{old}");
    }
    // Names that a message uses are part of it.
    let other = CONTROL.replace("Tap = 1", "Tap = 2");
    let other = read(&[("a.rs", SOURCE), ("lib.rs", &other)]).expect("as it should be");
    assert_ne!(other.file("a.rs").expect("messages").id, before);
    // The same messages of another file are others.
    let two =
        read(&[("a.rs", SOURCE), ("b.rs", SOURCE), ("lib.rs", CONTROL)]).expect("as it should be");
    assert_ne!(two.files()[0].id, two.files()[1].id);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (source, why) in [
        (
            "fn f() {\n wpp!(Loud, Call, \"a\") }",
            "a.rs:2: `Loud` is no level",
        ),
        ("wpp!(Error, Other, \"a\")", "no flag `Other`"),
        (
            "wpp!(Error, Call, \"{a:Others}\", a)",
            "no `wpp::names!` has a type `Others`",
        ),
        ("wpp!(Error, Call, \"{a:u7}\", a)", "`u7` is no kind"),
        (
            "names! { flags Bits { A = 1 } } wpp!(Error, Call, \"{a:Bits}\", a)",
            "two `wpp::names!` are called `Bits`",
        ),
        (
            "names! { flags C { A } } wpp!(Error, Call, \"{a:C}\", a)",
            "a member is written",
        ),
        (
            "names! { flags C { A = 4294967296 } } wpp!(Error, Call, \"{a:C}\", a)",
            "no number of 32 bits",
        ),
        ("control! { static B = \"6f\"; }", "`6f` is no GUID"),
        ("/*", "without an end"),
    ] {
        let error = match read(&[("lib.rs", CONTROL), ("a.rs", source)]) {
            Ok(package) => package.problem().map(ToString::to_string),
            Err(error) => Some(error.to_string()),
        };
        let error = error.expect(source);
        assert!(error.contains(why), "{source}: {error}");
    }
    let twice = read(&[("a.rs", CONTROL), ("b.rs", CONTROL)]).expect_err("two");
    assert!(twice.to_string().contains("one `wpp::control!`"), "{twice}");
    let none = read(&[("a.rs", SOURCE)]).expect_err("none");
    assert!(none.to_string().contains("no `wpp::control!`"), "{none}");
}

#[test]
fn what_is_wrong_with_one_message_is_not_wrong_with_others() {
    let bad =
        "fn f() { wpp!(Error, Call, \"{a\"); wpp!(Error, Call, \"good\"); wpp!(Error, No, \"b\") }";
    let package = read(&[("lib.rs", CONTROL), ("a.rs", bad), ("b.rs", SOURCE)]).expect("a package");
    let good = &package.file("a.rs").expect("it has a good one").messages;
    assert_eq!((good.len(), good[0].number), (1, 10));
    assert_eq!(package.file("b.rs").expect("it is good").messages.len(), 3);
    let refusal = |text: &str| {
        let column = bad.find(text).expect("it is there") + 1;
        package.refusal("a.rs", 1, column).unwrap_or_default()
    };
    assert!(refusal("\"{a\"").contains("a brace"));
    assert!(refusal("\"b\"").contains("no flag `No`"));
    assert_eq!(package.refusal("a.rs", 1, good[0].column), None);
    assert!(
        package
            .problem()
            .is_some_and(|error| error.to_string().contains("a.rs:1: a brace"))
    );
}

#[test]
fn a_package_without_messages_is_none() {
    let found = Found::default().finish("mine", Path::new("mine"));
    assert!(matches!(found, Ok(None)));
}

#[test]
fn formats_are_written_as_readers_want_them() {
    let package = package(SOURCE);
    let file = package.file("a.rs").expect("messages");
    let expected = format!(
        "\
// PDB:  mine.pdb
{} mine // SRC=a.rs MJ= MN=
#typev a_rs5 10 \"%0%!FUNC! %10!u!\" //   LEVEL=TRACE_LEVEL_WARNING FLAGS=Call FUNC=attach
{{
n, ItemLong -- 10
}}
#typev a_rs6 11 \"%0%10!s!\" //   LEVEL=TRACE_LEVEL_VERBOSE FLAGS=Data FUNC=attach
{{
m, ItemEnum(Modes) -- 10
}}
#typev a_rs9 12 \"%0b\" //   LEVEL=TRACE_LEVEL_ERROR FLAGS=Call FUNC=other
{{
}}
#enumv Modes
{{
Off,0x0
Tap,0x1
}}
",
        file.id
    );
    assert_eq!(package.tmf(file), expected);
    // Folders are not named, and another folder is another GUID.
    let nested = read(&[("a/b.rs", SOURCE), ("lib.rs", CONTROL)]).expect("as it should be");
    let file = nested.file("a/b.rs").expect("messages");
    let tmf = nested.tmf(file);
    assert!(tmf.contains(&format!(
        "{} mine // SRC=b.rs MJ= MN=\n#typev b_rs5 10 ",
        file.id
    )));
    assert!(!tmf.contains("a/b.rs"));
    let flat = read(&[("b.rs", SOURCE), ("lib.rs", CONTROL)]).expect("as it should be");
    assert_ne!(flat.file("b.rs").expect("messages").id, file.id);
}
