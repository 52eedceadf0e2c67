//! Catalog and hashes, without programs of others.

use der::{Decode, Encode};

use super::{
    catalog::{self, Catalog, Member},
    digest::{Digests, sha256_hex},
    inf_date,
};

fn catalog(bytes: &[u8]) -> Vec<u8> {
    let member = Member {
        name: "x.inf".to_owned(),
        digests: Digests::of_file(bytes),
    };
    Catalog {
        members: vec![member],
        hardware_ids: vec!["Made_Up".to_owned()],
        systems: "2:10.0".to_owned(),
        time: 1_700_000_000,
    }
    .encode()
    .expect("a catalog")
}

#[test]
fn a_catalog_without_signers_is_its_own_unsigned_form() {
    let bytes = catalog(b"text");
    assert_eq!(catalog::unsigned(&bytes).expect("a catalog"), bytes);
    assert!(catalog::unsigned(b"text").is_err());
    assert!(catalog::unsigned(&bytes[..bytes.len() / 2]).is_err());
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_catalog_is_der_with_both_hashes_of_each_member() {
    let digests = Digests::of_file(b"text");
    let bytes = catalog(b"text");
    let any = der::Any::from_der(&bytes).expect("DER");
    assert_eq!(any.to_der().expect("DER"), bytes);
    assert!(holds(&bytes, &digests.sha256));
    assert!(holds(&bytes, &digests.sha1));
    let wide: Vec<u8> = "made_up\0"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(holds(&bytes, &wide), "the hardware id, in lower case");
}

#[test]
fn the_same_files_give_the_same_catalog_and_others_another() {
    assert_eq!(catalog(b"one"), catalog(b"one"));
    assert_ne!(catalog(b"one"), catalog(b"other"));
}

#[test]
fn hashes_and_dates_are_as_others_compute_them() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(sha256_hex(b""), empty);
    assert_eq!(inf_date(1_709_164_800).expect("a date"), "02/29/2024");
}
