//! Who signs: a test certificate that is made here, or one that is given.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, Result, bail};

use crate::{
    program::run,
    repository::{create_folder, write_if_changed},
};

/// For how long a certificate that is made is valid.
const VALIDITY_DAYS: &str = "365";
/// A test certificate that ends sooner is made anew.
const LEAST_VALIDITY_S: u32 = 86_400;

/// What the certificates are for, as openssl reads it.
const EXTENSIONS: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = deferlwf test
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[signer]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = codeSigning
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[timestamp]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
";

/// A certificate with what it is issued by, and its key.
pub(super) struct Identity {
    pub(super) certificates: PathBuf,
    pub(super) key: PathBuf,
}

/// The certificates of one package: who signs, and who tells the time.
pub(super) struct Signers {
    pub(super) code: Identity,
    pub(super) timestamp: Identity,
}

impl Signers {
    /// The certificate and key that are given, or else the test ones in `folder`, which are made when they are missing.
    pub(super) fn new(
        folder: &Path,
        certificates: Option<&Path>,
        key: Option<&Path>,
    ) -> Result<Self> {
        let given = match (certificates, key) {
            (Some(certificates), key) => {
                require_pem(certificates)?;
                let key = key.with_context(|| {
                    let path = certificates.display();
                    format!("the key of {path} is missing; give it with --key KEY.pem")
                })?;
                require_pem(key)?;
                Some((certificates, key))
            }
            (None, Some(key)) => bail!(
                "the certificate of {} is missing; give it with --certificate CERTIFICATE.pem",
                key.display()
            ),
            (None, None) => None,
        };
        let private = folder.join("test-authority");
        ensure_authority(folder, &private)?;
        let code = match given {
            Some((certificates, key)) => {
                check_given(certificates, key)?;
                Identity {
                    certificates: certificates.to_path_buf(),
                    key: key.to_path_buf(),
                }
            }
            None => ensure(&private, "signer", "code signing")?,
        };
        Ok(Self {
            code,
            timestamp: ensure(&private, "timestamp", "time stamping")?,
        })
    }
}

/// The authority's certificate in `target/package`, its key beside what it issues.
fn ensure_authority(folder: &Path, private: &Path) -> Result<()> {
    let certificate = folder.join("test-ca.pem");
    let key = private.join("authority.key");
    if is_valid_for(&certificate, LEAST_VALIDITY_S) && key.is_file() {
        return Ok(());
    }
    create_private(private)?;
    write_if_changed(&private.join("openssl.cnf"), EXTENSIONS)?;
    request(private, "authority", "authority", &key, &certificate, &[])?;
    // What the last authority issued is worth nothing now.
    for name in ["signer.pem", "timestamp.pem"] {
        let _ = fs::remove_file(private.join(name));
    }
    Ok(())
}

/// A certificate that the test authority issues.
fn ensure(private: &Path, name: &str, purpose: &str) -> Result<Identity> {
    let identity = Identity {
        certificates: private.join(format!("{name}.pem")),
        key: private.join(format!("{name}.key")),
    };
    if is_valid_for(&identity.certificates, LEAST_VALIDITY_S) && identity.key.is_file() {
        return Ok(identity);
    }
    let authority = private
        .parent()
        .context("no folder above the keys")?
        .join("test-ca.pem");
    let issuer = [
        "-CA".into(),
        authority.clone(),
        "-CAkey".into(),
        private.join("authority.key"),
    ];
    request(
        private,
        name,
        purpose,
        &identity.key,
        &identity.certificates,
        &issuer,
    )?;
    let mut chain = fs::read(&identity.certificates)?;
    chain.extend(fs::read(&authority)?);
    fs::write(&identity.certificates, chain)
        .with_context(|| format!("cannot write {}", identity.certificates.display()))?;
    Ok(identity)
}

fn request(
    private: &Path,
    section: &str,
    purpose: &str,
    key: &Path,
    certificate: &Path,
    issuer: &[PathBuf],
) -> Result<()> {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "rsa:3072", "-nodes", "-sha256"])
        .args(["-days", VALIDITY_DAYS, "-extensions", section])
        .args(["-subj", &format!("/CN=deferlwf test {purpose}")])
        .arg("-config")
        .arg(private.join("openssl.cnf"))
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .args(issuer);
    run(&mut command).context("cannot make a test certificate")?;
    Ok(())
}

/// Fails with what to do when a given certificate cannot sign a driver.
fn check_given(certificates: &Path, key: &Path) -> Result<()> {
    let text = |what: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout"]).args(what).arg("-in");
        run(command.arg(certificates))
            .with_context(|| format!("{} is no certificate in PEM", certificates.display()))
    };
    let start = text(&["-startdate", "-dateopt", "iso_8601"])?;
    let start = start.trim().trim_start_matches("notBefore=");
    if seconds(start).is_some_and(|start| start > now()) {
        bail!(
            "the certificate {} is not valid before {start}; wait until then, give another, or leave out --certificate to sign with a test certificate",
            certificates.display()
        );
    }
    let end = text(&["-enddate"])?;
    let end = end.trim().trim_start_matches("notAfter=");
    if !is_valid_for(certificates, 0) {
        bail!(
            "the certificate {} expired on {end}; renew it, or leave out --certificate to sign with a test certificate",
            certificates.display()
        );
    }
    if !text(&["-ext", "extendedKeyUsage"])?.contains("Code Signing") {
        bail!(
            "the certificate {} is not for code signing; give one whose extended key usage has it",
            certificates.display()
        );
    }
    let of_key = run(Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(key))
    .with_context(|| {
        format!(
            "{} is no private key in PEM without password",
            key.display()
        )
    })?;
    if text(&["-pubkey"])? != of_key {
        bail!(
            "the key {} is not that of the certificate {}",
            key.display(),
            certificates.display()
        );
    }
    Ok(())
}

/// Fails with how to convert it when a file is none of PEM.
pub(super) fn require_pem(path: &Path) -> Result<()> {
    let shown = path.display();
    let bytes = fs::read(path).with_context(|| {
        format!(
            "cannot read {shown}; give PEM files, or leave out --certificate to sign with a test certificate"
        )
    })?;
    if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        return Ok(());
    }
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    // PKCS #12 begins with its version, 3, in a SEQUENCE of a long length.
    let is_store = extension == "pfx"
        || extension == "p12"
        || bytes.first() == Some(&0x30) && bytes.windows(3).take(8).any(|part| part == [2, 1, 3]);
    if is_store {
        bail!(
            "{shown} is PKCS #12, not PEM; convert it with: openssl pkcs12 -in {shown} -nokeys -out chain.pem && openssl pkcs12 -in {shown} -nocerts -nodes -out key.pem, and give --certificate chain.pem --key key.pem"
        );
    }
    bail!(
        "{shown} is not PEM; convert a certificate with: openssl x509 -inform DER -in {shown} -out certificate.pem, a key with: openssl pkey -inform DER -in {shown} -out key.pem"
    )
}

/// Seconds since 1970 of `2026-01-02 03:04:05Z`.
fn seconds(text: &str) -> Option<u64> {
    let rfc = text.trim().replace(' ', "T");
    let date: der::DateTime = rfc.parse().ok()?;
    Some(date.unix_duration().as_secs())
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn is_valid_for(certificate: &Path, seconds: u32) -> bool {
    let mut command = Command::new("openssl");
    command
        .args(["x509", "-noout", "-checkend", &seconds.to_string(), "-in"])
        .arg(certificate);
    command.output().is_ok_and(|output| output.status.success())
}

/// A folder that only its owner may look into.
fn create_private(folder: &Path) -> Result<()> {
    create_folder(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssl_s_dates_are_read() {
        assert_eq!(seconds("2024-02-29 00:00:00Z"), Some(1_709_164_800));
        assert_eq!(seconds("Feb 29 00:00:00 2024 GMT"), None);
        assert!(now() > 1_709_164_800);
    }
}
