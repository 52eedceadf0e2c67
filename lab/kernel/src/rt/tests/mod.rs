//! The machine with a small image of our own, compiled when the tests run.

mod fault;
mod run;

use std::{
    cell::{Cell, RefCell},
    fs::{self, File},
    os::fd::IntoRawFd,
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
    sync::OnceLock,
};

use super::{
    Config, DataExport, End, Hooks, ImageConfig, Import, Machine, call_driver,
    pool::{self, FreeError, Kind, Owner, Request},
    sched, trace,
};

/// Functions that `image.c` imports.
const IMPORTS: &[Import] = &[
    Import {
        module: "test.sys",
        name: "Add",
        run: |call| (0..6).map(|i| call.arg(i)).sum(),
    },
    Import {
        module: "test.sys",
        name: "CallBack",
        run: |call| {
            note(stack_depth("Factorial"));
            call_driver(call.arg(0), &[call.arg(1)])
        },
    },
    Import {
        module: "test.sys",
        name: "Depth",
        run: |_| trace::frames(trace::capture()).len() as u64,
    },
    Import {
        module: "test.sys",
        name: "Yield",
        run: |_| {
            note(u64::from(sched::current().0));
            0
        },
    },
    Import {
        module: "test.sys",
        name: "Allocate",
        run: |call| {
            let size = call.arg(0) as usize;
            let tag = u32::from_le_bytes(*b"Test");
            let (kind, owner) = (Kind::NonPaged, Owner::Driver);
            pool::allocate(Request {
                tag,
                size,
                align: 16,
                kind,
                zeroed: false,
                owner,
            })
            .unwrap_or(0)
        },
    },
    Import {
        module: "test.sys",
        name: "AllocatePaged",
        run: |call| {
            let size = call.arg(0) as usize;
            let tag = u32::from_le_bytes(*b"Test");
            let (kind, owner) = (Kind::Paged, Owner::Driver);
            pool::allocate(Request {
                tag,
                size,
                align: 16,
                kind,
                zeroed: true,
                owner,
            })
            .unwrap_or(0)
        },
    },
    Import {
        module: "test.sys",
        name: "Free",
        run: |call| match pool::free(call.arg(0), None) {
            Ok(_) => 0,
            Err(error) => {
                FREE_ERROR.set(Some(error));
                sched::stop(sched::Reason::Rule)
            }
        },
    },
    Import {
        module: "test.sys",
        name: "Note",
        run: |call| {
            note(call.arg(0));
            0
        },
    },
];

const DATA: &[DataExport] = &[DataExport {
    module: "test.sys",
    name: "Variable",
    words: &[1000],
}];

thread_local! {
    static NOTES: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    static SIDE: Cell<pool::Side> = const { Cell::new(pool::Side::End) };
    static FREE_ERROR: Cell<Option<FreeError>> = const { Cell::new(None) };
}

fn note(value: u64) {
    NOTES.with_borrow_mut(|notes| notes.push(value));
}

/// Activations of `function` on the driver's stack.
fn stack_depth(function: &str) -> u64 {
    let is = |frame: &trace::Frame| frame.function.as_deref() == Some(function);
    trace::frames(trace::capture())
        .iter()
        .filter(|frame| is(frame))
        .count() as u64
}

/// A temporary folder, which is gone when the value is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("lwf-lab-rt-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // One that stays is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The compiled image and where its PDB is; none where clang and lld are missing.
fn image() -> Option<&'static (Vec<u8>, PathBuf)> {
    static IMAGE: OnceLock<Option<(Vec<u8>, PathBuf)>> = OnceLock::new();
    IMAGE
        .get_or_init(|| {
            let folder = Folder::new();
            let built = build(&folder.0);
            if built.is_none() {
                eprintln!("skipped: clang-19 and lld-link-19 are needed to build the test image");
            }
            built
        })
        .as_ref()
}

fn build(folder: &Path) -> Option<(Vec<u8>, PathBuf)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rt/tests/image.c");
    let path = |name: &str| folder.join(name).display().to_string();
    let names = IMPORTS.iter().map(|import| import.name.to_owned());
    let variables = DATA
        .iter()
        .map(|variable| format!("{} DATA", variable.name));
    let names: Vec<String> = names.chain(variables).collect();
    let libraries = [
        ("TEST.SYS", names),
        ("ntoskrnl.exe", vec!["__chkstk".to_owned()]),
    ];
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).status().ok()?;
        assert!(status.success(), "{program} {arguments:?}");
        Some(())
    };
    let target = "--target=x86_64-pc-windows-msvc";
    let object = path("image.obj");
    run(
        "clang-19",
        &[
            target,
            "-c",
            "-O1",
            "-g",
            "-gcodeview",
            "-ffreestanding",
            "-fasynchronous-unwind-tables",
            "-fno-stack-protector",
            "-Wno-everything",
            "-o",
            &object,
            &source.display().to_string(),
        ],
    )?;
    let mut inputs = vec![object];
    for (module, names) in libraries {
        let (definition, library) = (
            path(&format!("{module}.def")),
            path(&format!("{module}.lib")),
        );
        fs::write(
            &definition,
            format!("LIBRARY {module}\nEXPORTS\n{}\n", names.join("\n")),
        )
        .ok()?;
        let (definition, out) = (format!("/def:{definition}"), format!("/out:{library}"));
        run("lld-link-19", &["/lib", "/machine:x64", &definition, &out])?;
        inputs.push(library);
    }
    let out = path("image.sys");
    let out_option = format!("/out:{out}");
    let mut arguments = vec![
        "/driver",
        "/subsystem:native",
        "/entry:DriverEntry",
        "/nodefaultlib",
        "/debug",
        "/opt:noref",
        "/opt:noicf",
        "/section:INIT,ERD",
        "/section:PAGE,ERP",
        &out_option,
    ];
    arguments.extend(inputs.iter().map(String::as_str));
    run("lld-link-19", &arguments)?;
    // Nothing runs when the last test has ended: the PDB has no name any more, and lives as long as this process has it open.
    let pdb = File::open(folder.join("image.pdb")).ok()?.into_raw_fd();
    let pdb = PathBuf::from(format!("/proc/self/fd/{pdb}"));
    Some((fs::read(&out).ok()?, pdb))
}

/// What a run of the test image came to.
struct Outcome {
    end: End,
    notes: Vec<u64>,
    results: Vec<u64>,
    now_ns: u64,
    stats: super::machine::Stats,
    switches: u64,
    free_error: Option<FreeError>,
}

/// Runs `body` as the main thread; it gets the addresses of the image's exports and a list for
/// results. `look` is called before the machine goes.
fn run_with<R>(
    seed: u64,
    body: impl FnOnce(&dyn Fn(&str) -> u64, &Rc<RefCell<Vec<u64>>>) + 'static,
    look: impl FnOnce(Outcome) -> R,
) -> Option<R> {
    let (bytes, pdb) = image()?;
    let image = lab_pe::Image::parse(bytes).expect("the test image is sound");
    let exports: Vec<(String, u64)> = image
        .exports
        .iter()
        .map(|export| {
            (
                export.name.clone(),
                super::layout::IMAGE + u64::from(export.rva),
            )
        })
        .collect();
    let mut machine = Machine::load(Config {
        images: vec![ImageConfig {
            image: image.into(),
            name: "image.sys".into(),
            pdb: Some(pdb.clone()),
        }],
        seed,
        processors: 2,
        imports: &[IMPORTS],
        data: &[DATA],
        hooks: Hooks {
            before: |_| {},
            instead: |_| None,
            after: |_, _| {},
            cut: |_| {},
        },
        time_limit_ns: 3_600_000_000_000,
        pool_side: SIDE.get(),
        keeps_journal: false,
    })
    .expect("the test image loads");
    NOTES.take();
    let results = Rc::new(RefCell::new(Vec::new()));
    let filled = Rc::clone(&results);
    let end = machine.run(move || {
        let find = |name: &str| {
            exports
                .iter()
                .find(|(known, _)| known == name)
                .unwrap_or_else(|| panic!("{name}"))
                .1
        };
        body(&find, &filled);
    });
    let results = results.borrow().clone();
    let stats = machine.stats();
    Some(look(Outcome {
        end,
        notes: NOTES.take(),
        results,
        now_ns: sched::now(),
        stats,
        switches: sched::switches(),
        free_error: FREE_ERROR.take(),
    }))
}

fn run(
    seed: u64,
    body: impl FnOnce(&dyn Fn(&str) -> u64, &Rc<RefCell<Vec<u64>>>) + 'static,
) -> Option<Outcome> {
    run_with(seed, body, |outcome| outcome)
}
