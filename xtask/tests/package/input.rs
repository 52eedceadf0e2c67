//! Wrong input gets one sentence; a certificate that is given signs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    CHECKS, Scratch,
    certificate::{make_certificate, make_certificate_of_2049, openssl},
    fail, root, succeed, text,
};

#[test]
#[ignore = "compiles the driver"]
fn wrong_input_gets_one_sentence() {
    let package = PathBuf::from(succeed(&["package", "--yes"]).trim());
    let image = package.join("deferlwf.sys");
    let complaint = fail(&["package", "--arch", "arm64", "--image", text(&image)], 2);
    assert!(complaint.contains("not an image for arm64"), "{complaint}");

    let scratch = Scratch::new("certificate");
    let alone = scratch.0.join("alone.sys");
    fs::copy(&image, &alone).unwrap();
    let complaint = fail(&["package", "--image", text(&alone)], 2);
    assert!(complaint.contains("alone.pdb is not there"), "{complaint}");
    let complaint = fail(
        &["check-package", text(&package), "--authority", text(&image)],
        2,
    );
    assert!(complaint.contains("is not PEM"), "{complaint}");
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
    fs::write(scratch.0.join("deferlwf.tmf"), "a trace format").unwrap();
    fs::write(scratch.0.join("other.tmf"), "of another driver").unwrap();
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
    assert!(package.join("deferlwf.tmf").is_file());
    assert!(!package.join("other.tmf").exists());
    // By its own authority it is trusted, and by the test authority it is not.
    let checked = succeed(&["check-package", "--yes", "--authority", text(&certificate)]);
    assert_eq!(checked.matches("ok ").count(), CHECKS, "{checked}");
    let complaint = fail(&["check-package", "--yes"], 1);
    assert!(complaint.contains("the image's signature"), "{complaint}");
    // The default again, for whoever comes next.
    succeed(&["package", "--yes"]);
}
