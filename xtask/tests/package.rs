//! A package, end to end: made, verified by programs of others, refused when a byte is flipped or the input is wrong.
//!
//! Slow, because the driver is compiled: `cargo xtask test` runs it with `--ignored`.

#![forbid(unsafe_code)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

/// A folder that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(fs::canonicalize(folder).unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn xtask(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .current_dir(root())
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .args(arguments);
    command.output().unwrap()
}

/// Runs a task that has to succeed, and gives what it printed.
fn succeed(arguments: &[&str]) -> String {
    let output = xtask(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a task that has to end with `code`, and gives its last line of complaint.
fn fail(arguments: &[&str], code: i32) -> String {
    let output = xtask(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    errors.lines().next_back().unwrap_or_default().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// The lines of a manifest about what is signed, before it is.
fn unsigned(package: &Path) -> String {
    let manifest = fs::read_to_string(package.join("manifest.json")).unwrap();
    let (_, unsigned) = manifest.split_once("\"unsigned\"").unwrap();
    unsigned.to_owned()
}

#[test]
#[ignore = "compiles the driver"]
fn a_package_verifies_and_a_flipped_byte_does_not() {
    for arch in ["x64", "arm64"] {
        let made = succeed(&["package", "--arch", arch, "--yes"]);
        let package = PathBuf::from(made.trim());
        let checked = succeed(&["check-package", "--arch", arch, "--yes"]);
        assert_eq!(checked.matches("ok ").count(), 6, "{checked}");

        // What is signed is the same when it is made again.
        let first = unsigned(&package);
        succeed(&["package", "--arch", arch, "--yes"]);
        assert_eq!(unsigned(&package), first);

        let scratch = Scratch::new(&format!("flip-{arch}"));
        for file in ["deferlwf.sys", "deferlwf.inf", "deferlwf.cat"] {
            let folder = scratch.0.join(file);
            copy_folder(&package, &folder);
            let path = folder.join(file);
            let mut bytes = fs::read(&path).unwrap();
            let place = match file {
                // A letter of the first comment, which changes nothing that an INF says.
                "deferlwf.inf" => 4,
                // In the list of members. Behind it are certificates, which a signature does not cover, and of which
                // the authority's is not even looked at: the verifier has its own.
                "deferlwf.cat" => 300,
                _ => bytes.len() / 2,
            };
            bytes[place] ^= 1;
            fs::write(&path, &bytes).unwrap();
            // The manifest sees it; and without the manifest's hash, the signatures do.
            let complaint = fail(&["check-package", text(&folder), "--yes"], 1);
            assert!(complaint.contains("manifest"), "{complaint}");
            drop_hashes(&folder);
            let complaint = fail(&["check-package", text(&folder), "--yes"], 1);
            let program = if file == "deferlwf.inf" {
                "signify"
            } else {
                "osslsigncode"
            };
            assert!(complaint.contains(program), "{file}: {complaint}");
        }
    }
}

/// Takes the files out of a manifest, as one who replaces a file would.
fn drop_hashes(folder: &Path) {
    let path = folder.join("manifest.json");
    let manifest = fs::read_to_string(&path).unwrap();
    let (before, rest) = manifest.split_once("\"files\": [").unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    fs::write(&path, format!("{before}\"files\": []{after}")).unwrap();
}

#[test]
#[ignore = "compiles the driver"]
fn wine_installs_what_the_inf_says() {
    succeed(&["package", "--yes"]);
    let printed = succeed(&["check-install", "--yes"]);
    assert!(printed.contains("as the INF says"), "{printed}");
}

#[test]
#[ignore = "compiles the driver"]
fn wrong_input_gets_one_sentence() {
    let package = PathBuf::from(succeed(&["package", "--yes"]).trim());
    let image = package.join("deferlwf.sys");
    let complaint = fail(&["package", "--arch", "arm64", "--image", text(&image)], 2);
    assert!(complaint.contains("not an image for arm64"), "{complaint}");

    let scratch = Scratch::new("certificate");
    let (certificate, key) = (scratch.0.join("c.pem"), scratch.0.join("c.key"));
    let arguments = [
        "package",
        "--image",
        text(&image),
        "--certificate",
        text(&certificate),
        "--key",
        text(&key),
    ];
    let complaint = fail(&arguments, 2);
    assert!(complaint.contains("leave out --certificate"), "{complaint}");

    make_certificate(&certificate, &key, "1", "serverAuth");
    let complaint = fail(&arguments, 2);
    assert!(complaint.contains("not for code signing"), "{complaint}");

    make_certificate(&certificate, &key, "-1", "codeSigning");
    let complaint = fail(&arguments, 2);
    assert!(complaint.contains("expired on"), "{complaint}");

    make_certificate(&certificate, &key, "1", "codeSigning");
    let other = scratch.0.join("other.key");
    make_certificate(&scratch.0.join("other.pem"), &other, "1", "codeSigning");
    fs::copy(&other, &key).unwrap();
    let complaint = fail(&arguments, 2);
    assert!(complaint.contains("is not that of"), "{complaint}");

    let empty = scratch.0.join("empty");
    fs::create_dir(&empty).unwrap();
    let complaint = fail(&["check-package", text(&empty)], 2);
    assert!(complaint.contains("is no package"), "{complaint}");
    let complaint = fail(&["check-inf", text(&empty.join("no.inf"))], 2);
    assert!(complaint.contains("cannot read"), "{complaint}");
}

fn make_certificate(certificate: &Path, key: &Path, days: &str, purpose: &str) {
    let request = certificate.with_extension("csr");
    let extensions = certificate.with_extension("cnf");
    fs::write(&extensions, format!("extendedKeyUsage={purpose}\n")).unwrap();
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=test",
        "-keyout",
        text(key),
        "-out",
        text(&request),
    ]);
    // `req -x509` refuses a certificate that has ended; `x509 -req` makes one.
    openssl(&[
        "x509",
        "-req",
        "-days",
        days,
        "-in",
        text(&request),
        "-signkey",
        text(key),
        "-extfile",
        text(&extensions),
        "-out",
        text(certificate),
    ]);
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}
