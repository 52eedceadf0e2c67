//! Packages that somebody has changed, manifest and all: what `check-package` says of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

use crate::{
    Scratch, certificate::make_certificate, copy_folder, fail, judge::verdicts, succeed, text,
};

/// Changes the manifest of a package.
fn change_manifest(folder: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = folder.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut manifest = serde_json::from_str(&text).unwrap();
    change(&mut manifest);
    fs::write(&path, manifest.to_string()).unwrap();
}

/// Describes the files anew that a manifest lists, as one who replaces a file would.
pub(crate) fn describe_anew(folder: &Path) {
    change_manifest(folder, |manifest| {
        manifest["unsigned"] = serde_json::json!([]);
        for entry in manifest["files"].as_array_mut().unwrap() {
            let bytes = fs::read(folder.join(entry["name"].as_str().unwrap())).unwrap();
            let hash = Sha256::digest(&bytes);
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            entry["sha256"] = hash.into();
            entry["bytes"] = bytes.len().into();
        }
    });
}

/// What `check-package` says of a copy of `package` that `change` has changed.
fn broken(package: &Path, name: &str, change: impl FnOnce(&Path)) -> (Scratch, String) {
    let scratch = Scratch::new(name);
    copy_folder(package, &scratch.0);
    change(&scratch.0);
    let complaint = fail(&["check-package", text(&scratch.0), "--yes"], 1);
    let what = complaint.strip_prefix("error: what does not hold: ");
    let what = what.unwrap_or(&complaint).to_owned();
    (scratch, what)
}

const FILES: &str = "manifest: the files are those that it lists, each as described";
const AGREE: &str = "manifest: architecture, version and unsigned hashes are those of the files";
const IMAGE: &str = "osslsigncode: the image's signature, page hashes, time stamp";
const CATALOG: &str = "osslsigncode: the catalog's signature, time stamp";
const MEMBER: &str = "osslsigncode: the image is in the catalog";
const STAMP: &str = "signify: the image's signature, time stamp";
pub(crate) const MEMBERS: &str = "signify: both members are in the catalog";

/// Signs `file` as `package` does, but for what `choose` takes away or puts in.
fn sign(package: &Path, file: &Path, choose: &[&str]) {
    let keys = package.join("../test-authority");
    let signed = file.with_extension("signed");
    let mut command = Command::new("osslsigncode");
    command.args(["sign", "-h", "sha256", "-certs"]);
    command.arg(keys.join("signer.pem")).arg("-key");
    command.arg(keys.join("signer.key")).args(choose);
    command.arg("-in").arg(file).arg("-out").arg(&signed);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    fs::rename(&signed, file).unwrap();
}

#[test]
#[ignore = "compiles the driver"]
fn what_a_signature_lacks_is_found() {
    let package = PathBuf::from(succeed(&["package", "--yes"]).trim());
    let built = package.join("../../driver/x64/release/deferlwf.sys");
    let keys = package.join("../test-authority");
    let ours = [keys.join("timestamp.pem"), keys.join("timestamp.key")];
    let stamp = ["-TSA-certs", text(&ours[0]), "-TSA-key", text(&ours[1])];
    let image = |folder: &Path, choose: &[&str]| {
        let file = folder.join("deferlwf.sys");
        fs::copy(&built, &file).unwrap();
        sign(&package, &file, choose);
        describe_anew(folder);
    };
    let good = broken(&package, "pages", |folder| image(folder, &stamp));
    assert_eq!(good.1, IMAGE, "no page hashes");
    let (_keep, what) = broken(&package, "stamp", |folder| image(folder, &["-ph"]));
    assert_eq!(what, format!("{IMAGE}; {STAMP}"), "no time stamp");

    // A time stamp of somebody else's, who is not trusted.
    let scratch = Scratch::new("stamper");
    let (certificate, key) = (scratch.0.join("t.pem"), scratch.0.join("t.key"));
    make_certificate(&certificate, &key, "1", "critical,timeStamping");
    let foreign = ["-TSA-certs", text(&certificate), "-TSA-key", text(&key)];
    let (_keep, what) = broken(&package, "foreign", |folder| {
        image(folder, &[&["-ph"][..], &foreign].concat());
    });
    assert_eq!(what, format!("{IMAGE}; {STAMP}"), "a foreign time stamp");

    let (_keep, what) = broken(&package, "catalog", |folder| {
        let catalog = folder.join("deferlwf.cat");
        sign(&package, &catalog, &[]);
        describe_anew(folder);
    });
    assert_eq!(what, format!("{CATALOG}; {MEMBER}; {MEMBERS}"));

    // A time stamp of ours with a byte of its own signature changed: the last of the image's signature.
    let (_keep, what) = broken(&package, "bytes", |folder| {
        let file = folder.join("deferlwf.sys");
        let mut bytes = fs::read(&file).unwrap();
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[last - 8] ^= 1;
        fs::write(&file, bytes).unwrap();
        describe_anew(folder);
    });
    assert!(what.contains(IMAGE) && what.contains(STAMP), "{what}");
}

#[test]
#[ignore = "compiles the driver"]
fn a_manifest_that_lies_is_found() {
    let package = PathBuf::from(succeed(&["package", "--yes"]).trim());
    for (name, wanted, change) in [
        (
            "empty",
            FILES,
            (|manifest| manifest["files"] = serde_json::json!([])) as fn(&mut serde_json::Value),
        ),
        ("arch", AGREE, |manifest| {
            manifest["architecture"] = "arm64".into()
        }),
        ("none", AGREE, |manifest| {
            manifest["architecture"] = "x86".into()
        }),
        ("version", AGREE, |manifest| {
            manifest["driver_version"] = "01/01/2020,1.0.0.0".into()
        }),
        ("release", AGREE, |manifest| {
            manifest["version"] = "9.9.9".into()
        }),
        ("unsigned-image", AGREE, |manifest| {
            manifest["unsigned"][0]["sha256"] = "00".into()
        }),
        ("unsigned-catalog", AGREE, |manifest| {
            manifest["unsigned"][1]["sha256"] = "00".into()
        }),
    ] {
        let (_keep, what) = broken(&package, name, |folder| change_manifest(folder, change));
        assert_eq!(what, wanted, "{name}");
    }
    let complaint = fail(
        &[
            "check-package",
            text(&package),
            "--arch",
            "arm64",
            "--offline",
        ],
        1,
    );
    assert!(complaint.ends_with(AGREE), "{complaint}");
    let (_keep, what) = broken(&package, "unlisted", |folder| {
        fs::write(folder.join("other.dll"), "").unwrap();
    });
    assert_eq!(what, FILES);
    let (_keep, what) = broken(&package, "pdb", |folder| {
        fs::write(folder.join("deferlwf.pdb"), "another image's").unwrap();
        describe_anew(folder);
    });
    assert_eq!(what, AGREE);
    // The INF of the other architecture is none that the signature covers either.
    let (_keep, what) = broken(&package, "inf", |folder| {
        let inf = folder.join("deferlwf.inf");
        let other = fs::read_to_string(&inf)
            .unwrap()
            .replace("NTamd64", "NTarm64");
        fs::write(&inf, other).unwrap();
        describe_anew(folder);
    });
    assert_eq!(what, format!("{AGREE}; {MEMBERS}"));
}

#[test]
#[ignore = "compiles the driver"]
fn bytes_that_no_signature_covers_are_those_that_are_named() {
    let package = PathBuf::from(succeed(&["package", "--yes"]).trim());
    let scratch = Scratch::new("covered");
    let image = fs::read(package.join("deferlwf.sys")).unwrap();
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    // docs/signing.md names them: the checksum, the entry of the certificate table, and that table.
    let optional = word(0x3C) + 24;
    let (checksum, entry) = (optional + 64, optional + 112 + 8 * 4);
    let table = word(entry);
    let is_outside = |at: usize| {
        (checksum..checksum + 4).contains(&at) || (entry..entry + 8).contains(&at) || at >= table
    };
    let places = (0..table)
        .step_by(table / 24)
        .chain([checksum - 1, checksum + 4, entry - 1]);
    for place in places.filter(|place| !is_outside(*place)) {
        let mut bytes = image.clone();
        bytes[place] ^= 1;
        let file = scratch.0.join("deferlwf.sys");
        fs::write(&file, bytes).unwrap();
        assert_eq!(
            verdicts(&package, &file, None),
            [false; 2],
            "byte {place:#x}"
        );
    }
    // What is outside, the list of hashes sees.
    copy_folder(&package, &scratch.0);
    for place in [checksum, entry, table, table + 9, image.len() - 1] {
        let mut bytes = image.clone();
        bytes[place] ^= 1;
        fs::write(scratch.0.join("deferlwf.sys"), bytes).unwrap();
        let complaint = fail(&["check-package", text(&scratch.0), "--offline"], 1);
        assert!(complaint.contains(FILES), "byte {place:#x}: {complaint}");
    }
}
