//! The judges are known to tell the truth: they accept what other tools made, and refuse it changed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Scratch,
    judge::{flip, shell, verdicts},
    succeed,
};

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
