//! Certificates as people have them, by openssl.

use std::{fs, path::Path, process::Command};

use crate::text;

pub(crate) fn make_certificate(certificate: &Path, key: &Path, days: &str, purpose: &str) {
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
pub(crate) fn make_certificate_of_2049(certificate: &Path, key: &Path) {
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

pub(crate) fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}
