//! A package, end to end: made, verified by programs of others, refused when a byte is flipped or the input is wrong.
//!
//! Slow, because the driver is compiled: `cargo xtask test` runs it with `--ignored`.

#![forbid(unsafe_code)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sha2::{Digest, Sha256};

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

/// What a manifest says of each file that is not signed, and of what is signed before it is.
fn contents(package: &Path) -> String {
    let text = fs::read_to_string(package.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let files = manifest["files"].as_array().unwrap().iter();
    let plain: Vec<_> = files
        .filter(|file| !["deferlwf.sys", "deferlwf.cat"].contains(&file["name"].as_str().unwrap()))
        .collect();
    assert!(plain.len() >= 4, "{text}");
    format!("{plain:?} {}", manifest["unsigned"])
}

/// How many checks `check-package` makes.
const CHECKS: usize = 8;

#[test]
#[ignore = "compiles the driver"]
fn a_package_verifies_and_a_flipped_byte_does_not() {
    for arch in ["x64", "arm64"] {
        let made = succeed(&["package", "--arch", arch, "--yes"]);
        let package = PathBuf::from(made.trim());
        let checked = succeed(&["check-package", "--arch", arch, "--yes"]);
        assert_eq!(checked.matches("ok ").count(), CHECKS, "{checked}");

        // Made again, all of it is the same but signatures and their time.
        let first = contents(&package);
        succeed(&["package", "--arch", arch, "--yes"]);
        assert_eq!(contents(&package), first);

        let scratch = Scratch::new(&format!("flip-{arch}"));
        for (file, sees) in [
            (
                "deferlwf.sys",
                "osslsigncode: the image's signature, page hashes, time stamp; \
                 osslsigncode: the image is in the catalog; \
                 signify: the image's signature, time stamp; signify: both members are in the catalog",
            ),
            // osslsigncode knows no members but images.
            ("deferlwf.inf", MEMBERS),
            (
                "deferlwf.cat",
                "osslsigncode: the catalog's signature, time stamp; \
                 osslsigncode: the image is in the catalog; signify: both members are in the catalog",
            ),
        ] {
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
            // The manifest sees it; and where that was replaced too, the programs of others do, each by itself.
            let complaint = fail(&["check-package", text(&folder), "--yes"], 1);
            assert!(complaint.contains("manifest"), "{complaint}");
            describe_anew(&folder);
            let complaint = fail(&["check-package", text(&folder), "--yes"], 1);
            assert_eq!(complaint, format!("error: what does not hold: {sees}"));
        }
    }
}

/// Changes the manifest of a package.
fn change_manifest(folder: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = folder.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut manifest = serde_json::from_str(&text).unwrap();
    change(&mut manifest);
    fs::write(&path, manifest.to_string()).unwrap();
}

/// Describes the files anew that a manifest lists, as one who replaces a file would.
fn describe_anew(folder: &Path) {
    change_manifest(folder, |manifest| {
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
const AGREE: &str = "manifest: architecture and version are those of image and INF";
const IMAGE: &str = "osslsigncode: the image's signature, page hashes, time stamp";
const CATALOG: &str = "osslsigncode: the catalog's signature, time stamp";
const MEMBER: &str = "osslsigncode: the image is in the catalog";
const STAMP: &str = "signify: the image's signature, time stamp";
const MEMBERS: &str = "signify: both members are in the catalog";

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
    ] {
        let (_keep, what) = broken(&package, name, |folder| change_manifest(folder, change));
        assert_eq!(what, wanted, "{name}");
    }
    let (_keep, what) = broken(&package, "unlisted", |folder| {
        fs::write(folder.join("other.dll"), "").unwrap();
    });
    assert_eq!(what, FILES);
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

#[test]
#[ignore = "compiles the driver"]
fn wine_installs_what_the_inf_says() {
    succeed(&["package", "--yes"]);
    let printed = succeed(&["check-install", "--yes"]);
    for section in ["Install_Drivers", "Install_Store"] {
        let line = format!("Wine installed [{section}]: service, file and ");
        assert!(printed.contains(&line), "{printed}");
    }
    assert_eq!(printed.matches("as the INF says").count(), 2, "{printed}");
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

    make_certificate_of_2049(&certificate, &key);
    let complaint = fail(&arguments, 2);
    assert!(
        complaint.contains("is not valid before 2049-01-01"),
        "{complaint}"
    );

    let store = scratch.0.join("c.pfx");
    make_certificate(&certificate, &key, "1", "codeSigning");
    openssl(&[
        "pkcs12",
        "-export",
        "-passout",
        "pass:",
        "-in",
        text(&certificate),
        "-inkey",
        text(&key),
        "-out",
        text(&store),
    ]);
    for name in ["c.pfx", "c"] {
        let renamed = scratch.0.join(name);
        fs::rename(&store, &renamed).unwrap();
        let complaint = fail(
            &[
                "package",
                "--image",
                text(&image),
                "--certificate",
                text(&renamed),
            ],
            2,
        );
        assert!(complaint.contains("openssl pkcs12 -in"), "{complaint}");
        fs::rename(&renamed, &store).unwrap();
    }
    let der = scratch.0.join("c.cer");
    openssl(&[
        "x509",
        "-in",
        text(&certificate),
        "-outform",
        "DER",
        "-out",
        text(&der),
    ]);
    let complaint = fail(
        &[
            "package",
            "--image",
            text(&image),
            "--certificate",
            text(&der),
        ],
        2,
    );
    assert!(
        complaint.contains("openssl x509 -inform DER"),
        "{complaint}"
    );
    let complaint = fail(
        &[
            "package",
            "--image",
            text(&image),
            "--certificate",
            text(&certificate),
        ],
        2,
    );
    assert!(complaint.contains("give it with --key"), "{complaint}");
    let complaint = fail(
        &["package", "--image", text(&image), "--key", text(&key)],
        2,
    );
    assert!(
        complaint.contains("give it with --certificate"),
        "{complaint}"
    );

    let other = scratch.0.join("other.key");
    make_certificate(&scratch.0.join("other.pem"), &other, "1", "codeSigning");
    fs::copy(&other, &key).unwrap();
    let complaint = fail(&arguments, 2);
    assert!(complaint.contains("is not that of"), "{complaint}");

    for (epoch, remedy) in [
        ("4000000000", "set it to"),
        ("soon", "not a number of seconds"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.current_dir(root()).env("SOURCE_DATE_EPOCH", epoch);
        command.args(["package", "--image", text(&image)]);
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(
            errors.contains(epoch) && errors.contains(remedy),
            "{errors}"
        );
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }

    let empty = scratch.0.join("empty");
    fs::create_dir(&empty).unwrap();
    let complaint = fail(&["check-package", text(&empty)], 2);
    assert!(complaint.contains("is no package"), "{complaint}");
    let complaint = fail(&["check-inf", text(&empty.join("no.inf"))], 2);
    assert!(complaint.contains("cannot read"), "{complaint}");
}

/// The programs that judge packages, asked as `check-package` asks them: whether each accepts `file`, by itself or as a
/// member of `catalog`.
fn verdicts(package: &Path, file: &Path, catalog: Option<&Path>) -> [bool; 2] {
    let authority = package.join("../test-ca.pem");
    let mut osslsigncode = Command::new("osslsigncode");
    osslsigncode
        .args(["verify", "-CAfile"])
        .arg(&authority)
        .arg("-TSA-CAfile")
        .arg(&authority);
    if let Some(catalog) = catalog {
        osslsigncode.arg("-catalog").arg(catalog);
    }
    osslsigncode.arg("-in").arg(file);
    let mut signify = Command::new(package.join("../../python/bin/python3"));
    signify
        .arg(package.join("../verify.py"))
        .args([&authority, &authority])
        .arg(catalog.unwrap_or(Path::new("-")))
        .arg(file);
    [osslsigncode, signify].map(|mut command| command.output().unwrap().status.success())
}

/// Copies `file` with a byte in its middle flipped.
fn flip(file: &Path) -> PathBuf {
    let mut bytes = fs::read(file).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    let flipped = file.with_extension("flipped");
    fs::write(&flipped, bytes).unwrap();
    flipped
}

/// Runs a command of `line`, split at blanks, in `folder`; says whether it went well.
fn shell(folder: &Path, line: &str) -> bool {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).current_dir(folder).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
#[ignore = "compiles the driver, and asks Debian"]
fn the_judges_accept_what_other_tools_made() {
    let package = PathBuf::from(succeed(&["package", "--yes"]).trim());
    succeed(&["check-package", "--yes"]);
    let scratch = Scratch::new("foreign");
    let keys = package.join("../test-authority");

    // An image that Debian's sbsign has signed.
    if shell(&scratch.0, "sbsign --version")
        || shell(
            &scratch.0,
            "apt-get install -y --no-install-recommends sbsigntool",
        )
    {
        let built = package.join("../../driver/x64/release/deferlwf.sys");
        let signed = scratch.0.join("deferlwf.sys");
        let mut sbsign = Command::new("sbsign");
        sbsign.arg("--key").arg(keys.join("signer.key"));
        sbsign.arg("--cert").arg(keys.join("signer.pem"));
        sbsign.arg("--output").arg(&signed).arg(&built);
        assert!(sbsign.output().unwrap().status.success());
        assert_eq!(verdicts(&package, &signed, None), [true; 2]);
        assert_eq!(verdicts(&package, &flip(&signed), None), [false; 2]);
        // What nobody has signed.
        assert_eq!(verdicts(&package, &built, None), [false; 2]);
    } else {
        println!("skipped: an image of another tool: no sbsign, and no apt-get that brings it");
    }

    // A catalog that makecat has made, in the sources of Debian's osslsigncode, which has no signature yet.
    let Some(files) = makecat_sample(&scratch.0) else {
        println!("skipped: a catalog of another tool: no sources of Debian");
        return;
    };
    // Signing fills an image up to 8 bytes and hashes that; signify hashes what there is.
    let (catalog, member) = (scratch.0.join("sample.cat"), scratch.0.join("member.exe"));
    let mut bytes = fs::read(files.join("unsigned.exe")).unwrap();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    fs::write(&member, bytes).unwrap();
    let mut sign = Command::new("osslsigncode");
    sign.args(["sign", "-h", "sha256", "-certs"]);
    sign.arg(keys.join("signer.pem")).arg("-key");
    sign.arg(keys.join("signer.key")).arg("-in");
    sign.arg(files.join("unsigned.cat"))
        .arg("-out")
        .arg(&catalog);
    assert!(sign.output().unwrap().status.success());
    assert_eq!(verdicts(&package, &member, Some(&catalog)), [true; 2]);
    assert_eq!(
        verdicts(&package, &flip(&member), Some(&catalog)),
        [false; 2]
    );
    // Ours is not in it.
    let image = package.join("deferlwf.sys");
    assert_eq!(verdicts(&package, &image, Some(&catalog)), [false; 2]);
}

/// The folder of the sample, from Debian's source package, with package lists of our own beside the machine's.
fn makecat_sample(folder: &Path) -> Option<PathBuf> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mirror = text
        .lines()
        .find(|line| line.trim_end_matches('/').ends_with("/debian"))?;
    fs::create_dir_all(folder.join("apt/lists/partial")).ok()?;
    // Debian 13: the sample in Debian 12's is of version 1.
    let sources = format!("deb-src {mirror} trixie main\n");
    fs::write(folder.join("apt/sources.list"), sources).ok()?;
    let apt = format!(
        "apt-get -o Dir::Etc::sourcelist={0}/apt/sources.list -o Dir::Etc::sourceparts=- \
         -o Dir::State::lists={0}/apt/lists -o APT::Sandbox::User=root",
        folder.display()
    );
    let has_source = shell(folder, &format!("{apt} update"))
        && shell(
            folder,
            &format!("{apt} source --download-only --tar-only osslsigncode"),
        );
    let archive = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.contains(".orig.tar."))?;
    let is_unpacked = shell(
        folder,
        &format!("tar --extract --one-top-level=sample --strip-components=1 --file {archive}"),
    );
    let files = folder.join("sample/tests/files");
    (has_source && is_unpacked && files.join("unsigned.cat").is_file()).then_some(files)
}

#[test]
fn a_missing_tool_gets_one_sentence() {
    let folder = Path::new(&std::env::var_os("CARGO").unwrap())
        .parent()
        .unwrap()
        .to_owned();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .current_dir(root())
        .env("PATH", folder)
        .args(["package", "--image", "x.sys"]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("not found; on Debian or Ubuntu install with: ")
            && errors.lines().count() == 1,
        "{errors}"
    );
}

#[test]
#[ignore = "compiles the driver"]
fn a_certificate_that_is_given_signs() {
    let package = PathBuf::from(succeed(&["package", "--yes"]).trim());
    let scratch = Scratch::new("given");
    let image = scratch.0.join("deferlwf.sys");
    let built = package.join("../../driver/x64/release/deferlwf.sys");
    for extension in ["sys", "pdb", "map"] {
        fs::copy(
            built.with_extension(extension),
            image.with_extension(extension),
        )
        .unwrap();
    }
    let (certificate, key) = (scratch.0.join("c.pem"), scratch.0.join("c.key"));
    make_certificate(&certificate, &key, "1", "codeSigning");
    // What decodes its traces comes along.
    fs::write(scratch.0.join("trace.tmf"), "a trace format").unwrap();
    succeed(&[
        "package",
        "--yes",
        "--image",
        text(&image),
        "--certificate",
        text(&certificate),
        "--key",
        text(&key),
    ]);
    assert!(package.join("trace.tmf").is_file());
    // By its own authority it is trusted, and by the test authority it is not.
    let checked = succeed(&["check-package", "--yes", "--authority", text(&certificate)]);
    assert_eq!(checked.matches("ok ").count(), CHECKS, "{checked}");
    let complaint = fail(&["check-package", "--yes"], 1);
    assert!(complaint.contains("the image's signature"), "{complaint}");
    // The default again, for whoever comes next.
    succeed(&["package", "--yes"]);
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

/// Code signing, from 2049 on: what `x509` cannot make, `ca` can.
fn make_certificate_of_2049(certificate: &Path, key: &Path) {
    let name = |extension: &str| certificate.with_extension(extension);
    make_certificate(certificate, key, "1", "codeSigning");
    let folder = certificate.parent().unwrap();
    let config = format!(
        "[ca]\ndefault_ca = c\n[c]\ndatabase = {0}/index\nnew_certs_dir = {0}\nrand_serial = yes\n\
         default_md = sha256\npolicy = p\n[p]\ncommonName = supplied\n",
        folder.display()
    );
    fs::write(name("ca"), config).unwrap();
    fs::write(folder.join("index"), "").unwrap();
    openssl(&[
        "ca",
        "-batch",
        "-selfsign",
        "-notext",
        "-config",
        text(&name("ca")),
        "-startdate",
        "20490101000000Z",
        "-enddate",
        "20491231000000Z",
        "-in",
        text(&name("csr")),
        "-keyfile",
        text(key),
        "-extfile",
        text(&name("cnf")),
        "-out",
        text(certificate),
    ]);
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}
