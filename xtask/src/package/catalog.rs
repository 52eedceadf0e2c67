//! Catalogs of version 2: which files belong to a package, by their hashes, as makecat writes it.
//!
//! A catalog is a PKCS #7 SignedData around a certificate trust list; without its signer it is what osslsigncode and
//! signtool sign.

use std::time::Duration;

use anyhow::{Context, Result};
use der::{
    Any, DateTime, Decode, Encode, Sequence, SliceReader, Tag, ValueOrd,
    asn1::{BmpString, Null, ObjectIdentifier, OctetString, SetOfVec, UtcTime},
};

use super::digest::{Digests, Kind};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TRUST_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.10.1");
const CATALOG_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.1.1");
/// What makes it version 2: members are identified by SHA-256.
const MEMBERS_BY_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.1.3");
const NAME_VALUE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.2.1");
const MEMBER_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.2.3");
const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
const IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");
const FLAT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.25");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// Of a name and value: readable text, authenticated, replacing earlier ones.
const NAME_VALUE_FLAGS: u32 = 0x1001_0001;

/// A file of the package.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) digests: Digests,
}

/// What a catalog says.
pub(super) struct Catalog {
    pub(super) members: Vec<Member>,
    /// Hardware (component) ids that the package installs.
    pub(super) hardware_ids: Vec<String>,
    /// Windows versions that it is for: `2:10.0`.
    pub(super) systems: String,
    /// Seconds since 1970.
    pub(super) time: u64,
}

impl Catalog {
    /// The catalog's bytes, unsigned.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let list = self.trust_list().context("cannot encode the catalog")?;
        let signed = SignedData {
            version: 1,
            digest_algorithms: SetOfVec::new(),
            content: ContentInfo {
                kind: TRUST_LIST,
                content: Any::encode_from(&list)?,
            },
            signers: SetOfVec::new(),
        };
        let outer = ContentInfo {
            kind: SIGNED_DATA,
            content: Any::encode_from(&signed)?,
        };
        Ok(outer.to_der()?)
    }

    fn trust_list(&self) -> Result<TrustList> {
        let mut members = Vec::new();
        for member in &self.members {
            members.push(self.subject(member)?);
            // Its twin for those who look for SHA-1 has a hash and nothing to say, as in makecat's catalogs.
            members.push(Subject {
                identifier: OctetString::new(member.digests.sha1)?,
                attributes: SetOfVec::from_iter([member_info()?])?,
            });
        }
        members.sort_by(|one, other| one.identifier.as_bytes().cmp(other.identifier.as_bytes()));
        let mut extensions = Vec::new();
        for (index, id) in self.hardware_ids.iter().enumerate() {
            let name = format!("HWID{}", index + 1);
            let value = NameValue::new(&name, &id.to_lowercase())?;
            extensions.push(Extension {
                kind: NAME_VALUE,
                value: OctetString::new(value.to_der()?)?,
            });
        }
        // The same files give the same catalog, so its id is theirs.
        let mut identity = blake3::Hasher::new();
        for member in &members {
            identity.update(member.identifier.as_bytes());
        }
        let time = DateTime::from_unix_duration(Duration::from_secs(self.time))?;
        Ok(TrustList {
            usage: vec![CATALOG_LIST],
            identifier: OctetString::new(&identity.finalize().as_bytes()[..16])?,
            this_update: UtcTime::from_date_time(time)?,
            algorithm: Algorithm::new(MEMBERS_BY_SHA256),
            members,
            extensions,
        })
    }

    fn subject(&self, member: &Member) -> Result<Subject> {
        let (kind, value) = match member.digests.kind {
            // An image: no flags, and an empty name of the file in SpcLink's third form.
            Kind::Image => (
                IMAGE_DATA,
                Any::new(
                    Tag::Sequence,
                    [0x03, 0x02, 0x05, 0xA0, 0xA0, 0x04, 0xA2, 0x02, 0x80, 0x00],
                )?,
            ),
            Kind::Flat => (FLAT_DATA, empty_file_name()?),
        };
        let indirect = IndirectData {
            data: AttributeTypeAndValue { kind, value },
            digest: DigestInfo {
                algorithm: Algorithm::new(SHA256),
                digest: OctetString::new(member.digests.sha256)?,
            },
        };
        let name = NameValue::new("File", &member.name)?;
        let systems = NameValue::new("OSAttr", &self.systems)?;
        let attributes = [
            member_info()?,
            Attribute::new(NAME_VALUE, Any::encode_from(&name)?)?,
            Attribute::new(NAME_VALUE, Any::encode_from(&systems)?)?,
            Attribute::new(INDIRECT_DATA, Any::encode_from(&indirect)?)?,
        ];
        Ok(Subject {
            identifier: OctetString::new(member.digests.sha256)?,
            attributes: SetOfVec::from_iter(attributes)?,
        })
    }
}

/// A signed catalog as it was before: its list, and no signer.
pub(super) fn unsigned(bytes: &[u8]) -> Result<Vec<u8>> {
    let wrong = "not a catalog";
    let outer = ContentInfo::from_der(bytes).context(wrong)?;
    // Version, algorithms, content; what follows is who signed.
    let inside = SliceReader::new(outer.content.value()).context(wrong)?;
    let content = third(inside).context(wrong)?;
    let signed = SignedData {
        version: 1,
        digest_algorithms: SetOfVec::new(),
        content,
        signers: SetOfVec::new(),
    };
    let outer = ContentInfo {
        kind: SIGNED_DATA,
        content: Any::encode_from(&signed)?,
    };
    Ok(outer.to_der()?)
}

fn third(mut reader: SliceReader<'_>) -> der::Result<ContentInfo> {
    Any::decode(&mut reader)?;
    Any::decode(&mut reader)?;
    ContentInfo::decode(&mut reader)
}

fn member_info() -> Result<Attribute> {
    Attribute::new(MEMBER_INFO, context_specific(2, false, &[])?)
}

/// `[2] { [0] "" }`.
fn empty_file_name() -> Result<Any> {
    context_specific(2, true, &[0x80, 0x00])
}

fn context_specific(number: u32, constructed: bool, value: &[u8]) -> Result<Any> {
    let tag = Tag::ContextSpecific {
        constructed,
        number: der::TagNumber(number),
    };
    Ok(Any::new(tag, value)?)
}

#[derive(Sequence)]
struct ContentInfo {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: Any,
}

#[derive(Sequence)]
struct SignedData {
    version: u8,
    digest_algorithms: SetOfVec<Any>,
    content: ContentInfo,
    signers: SetOfVec<Any>,
}

#[derive(Sequence)]
struct TrustList {
    usage: Vec<ObjectIdentifier>,
    identifier: OctetString,
    this_update: UtcTime,
    algorithm: Algorithm,
    members: Vec<Subject>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Algorithm {
    kind: ObjectIdentifier,
    parameters: Null,
}

impl Algorithm {
    const fn new(kind: ObjectIdentifier) -> Self {
        Self {
            kind,
            parameters: Null,
        }
    }
}

#[derive(Sequence)]
struct Subject {
    identifier: OctetString,
    attributes: SetOfVec<Attribute>,
}

#[derive(Sequence, ValueOrd)]
struct Attribute {
    kind: ObjectIdentifier,
    values: SetOfVec<Any>,
}

impl Attribute {
    fn new(kind: ObjectIdentifier, value: Any) -> Result<Self> {
        Ok(Self {
            kind,
            values: SetOfVec::from_iter([value])?,
        })
    }
}

#[derive(Sequence)]
struct Extension {
    kind: ObjectIdentifier,
    value: OctetString,
}

#[derive(Sequence)]
struct NameValue {
    name: BmpString,
    flags: u32,
    value: OctetString,
}

impl NameValue {
    fn new(name: &str, value: &str) -> Result<Self> {
        let wide: Vec<u8> = value
            .encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        Ok(Self {
            name: BmpString::from_utf8(name)?,
            flags: NAME_VALUE_FLAGS,
            value: OctetString::new(wide)?,
        })
    }
}

#[derive(Sequence)]
struct IndirectData {
    data: AttributeTypeAndValue,
    digest: DigestInfo,
}

#[derive(Sequence)]
struct AttributeTypeAndValue {
    kind: ObjectIdentifier,
    value: Any,
}

#[derive(Sequence)]
struct DigestInfo {
    algorithm: Algorithm,
    digest: OctetString,
}
