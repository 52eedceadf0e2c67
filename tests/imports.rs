//! `lwf-lab imports` says of each name that an image imports whether the lab emulates it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::{Lab, Scratch, driver};

fn imports(image: &Path) -> Lab {
    Lab::command(["imports".as_ref(), image.as_os_str()])
}

#[test]
fn images_that_run_import_nothing_that_is_missing() {
    for name in ["deferlwf", "passthru", "c-filter", "c-filter-guarded"] {
        let output = imports(&driver(name)).with(["--json"]).output();
        assert_eq!(output.exit, 0, "{output:?}");
        let found: Value = serde_json::from_str(&output.stdout).expect("one JSON object");
        let all = found["imports"].as_array().expect("a list");
        assert!(all.len() > 10, "{name}: {}", all.len());
        assert_eq!(found["counts"]["emulated"], all.len());
        assert_eq!(found["counts"]["missing"], 0);
        let is_told = |import: &Value| import["module"] == "ndis.sys" && import["irql"].is_array();
        assert!(all.iter().any(is_told), "{name}");
    }
}

/// Names of the same length in place of two that the image has.
fn changed(scratch: &Scratch) -> std::path::PathBuf {
    let mut image = fs::read(driver("c-filter")).expect("an image");
    for (from, to) in [
        ("NdisFreeIoWorkItem", "NdisMSetAttributes"),
        ("RtlStringFromGUID", "ObReferenceObject"),
        ("NdisFreeTimerObject", "NdisWriteEventEntry"),
    ] {
        let at = image
            .windows(from.len())
            .position(|window| window == from.as_bytes())
            .expect("an import");
        image[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let header = u32::from_le_bytes(image[0x3C..0x40].try_into().expect("a word")) as usize;
    image[header + 88..header + 92].fill(0); // the checksum
    scratch.file("lacking.sys", &image)
}

#[test]
fn what_is_missing_is_listed_with_what_it_would_need() {
    let scratch = Scratch::new("lacking");
    let output = imports(&changed(&scratch)).output();
    assert_eq!(output.exit, 2, "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert!(output.stderr.contains("lacking.sys: 3 of "), "{output:?}");
    for (name, support, needs) in [
        ("NdisMSetAttributes", "missing", "a miniport's side of NDIS"),
        // A macro's name in the header, and a page.
        ("ObReferenceObject", "known", "objects and handles"),
        ("NdisWriteEventEntry", "missing", "a further part of NDIS"),
    ] {
        let line = output.stdout.lines().find(|line| line.contains(name));
        let line = line.unwrap_or_else(|| panic!("no {name}: {output:?}"));
        assert!(line.contains(support) && line.ends_with(needs), "{line}");
    }
    // The run refuses it by the same names, in one line that says where to look.
    let output = Lab::run(&scratch.path().join("lacking.sys")).output();
    assert_eq!(output.exit, 2, "{output:?}");
    for part in ["NdisMSetAttributes", "ObReferenceObject", "lwf-lab imports"] {
        assert!(output.stderr.contains(part), "{output:?}");
    }
}

/// Of many there is a dozen by name, and how many more.
#[test]
fn many_that_are_missing_make_a_short_line() {
    let scratch = Scratch::new("many");
    let mut image = fs::read(driver("c-filter")).expect("an image");
    let mut changed = 0;
    // Each of these names is an import: with another last letter nobody has it.
    for prefix in ["NdisF", "NdisAllocate", "NdisFree", "Zw", "Rtl"] {
        let starts: Vec<usize> = image
            .windows(prefix.len())
            .enumerate()
            .filter(|(_, window)| *window == prefix.as_bytes())
            .map(|(at, _)| at)
            .collect();
        for start in starts {
            let length = image[start..]
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(0);
            let name = &image[start..start + length];
            if length > 0 && image[start - 1] == 0 && name.iter().all(u8::is_ascii_alphanumeric) {
                image[start + length - 1] = b'_';
                changed += 1;
            }
        }
    }
    assert!(changed > 20, "{changed}");
    let header = u32::from_le_bytes(image[0x3C..0x40].try_into().expect("a word")) as usize;
    image[header + 88..header + 92].fill(0); // the checksum
    let path = scratch.file("many.sys", &image);
    let output = Lab::run(&path).output();
    assert_eq!(
        (output.exit, output.stderr.lines().count()),
        (2, 1),
        "{output:?}"
    );
    assert!(output.stderr.len() < 1000, "{output:?}");
    assert_eq!(output.stderr.matches('!').count(), 12, "{output:?}");
    let hint = format!("`lwf-lab imports {}` lists them all", path.display());
    for part in [hint.as_str(), "imports are unknown to the lab: ", ", and "] {
        assert!(output.stderr.contains(part), "{part}: {output:?}");
    }
}

/// The columns of the table line up.
#[test]
fn the_table_is_aligned() {
    let output = imports(&driver("c-filter")).output();
    assert_eq!(output.exit, 0, "{output:?}");
    let mut lines = output.stdout.lines().skip(2);
    let header = lines.next().expect("a header");
    let column = header.find("support").expect("a column");
    for line in lines {
        let rest = line.get(column..).expect("a long line");
        assert!(rest.starts_with("emulated"), "{line}");
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn what_is_no_image_is_refused() {
    let output = imports(Path::new("README.md")).output();
    assert_eq!(output.exit, 2, "{output:?}");
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("README.md"), "{output:?}");
}
