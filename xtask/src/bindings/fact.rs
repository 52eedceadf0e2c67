//! The facts table in `abi/`, as read from its JSON.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Number;

/// Facts of one header family on one architecture.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Family {
    pub(super) structs: BTreeMap<String, Record>,
    pub(super) enums: BTreeMap<String, BTreeMap<String, i64>>,
    pub(super) constants: BTreeMap<String, Constant>,
    pub(super) scalars: BTreeMap<String, String>,
    pub(super) functions: BTreeMap<String, Function>,
    pub(super) callbacks: BTreeMap<String, Function>,
}

/// A structure or union.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) kind: String,
    pub(super) size: usize,
    pub(super) align: usize,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    /// `(NDIS minor version, size)` from each version on, where the size differs above the floor.
    #[serde(default)]
    pub(super) sizes: Vec<(u8, usize)>,
    pub(super) fields: Vec<Field>,
}

impl Record {
    /// The size at NDIS 6.`minor`.
    pub(super) fn size_at(&self, minor: u8) -> usize {
        let earlier = self.sizes.iter().rev().find(|(since, _)| *since <= minor);
        earlier.map_or(self.size, |(_, size)| *size)
    }
}

/// A member; members of a nested type carry a dotted name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) offset: usize,
    pub(super) size: usize,
    #[serde(rename = "type")]
    pub(super) spelled: String,
    pub(super) abi: String,
    /// Shift and width inside the storage unit that `offset` and `size` describe.
    pub(super) bits: Option<(u32, u32)>,
    /// The NDIS minor version that added it, where above the floor.
    pub(super) since: Option<u8>,
}

/// `[type, value]` or `[type, value, since]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Constant {
    Plain(String, Number),
    Since(String, Number, u8),
}

impl Constant {
    /// C type, value, and the NDIS minor version that added it, where above the floor.
    pub(super) fn parts(&self) -> (&str, i128, Option<u8>) {
        let (kind, value, since) = match self {
            Self::Plain(kind, value) => (kind, value, None),
            Self::Since(kind, value, since) => (kind, value, Some(*since)),
        };
        (kind, value.as_i128().unwrap_or_default(), since)
    }
}

/// A function, or the type of a callback.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Function {
    pub(super) ret: String,
    pub(super) ret_abi: String,
    /// Name, type as spelled, ABI class.
    pub(super) params: Vec<(String, String, String)>,
    #[serde(default)]
    pub(super) variadic: bool,
    #[serde(default)]
    pub(super) pointer: bool,
    pub(super) points_to: Option<String>,
    pub(super) alias_of: Option<String>,
    pub(super) irql: Option<Irql>,
    /// NDIS minor version or `NTDDI` short name, where above the floor or the oldest.
    pub(super) since: Option<serde_json::Value>,
}

/// IRQL annotations of a declaration.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Irql {
    pub(super) max: Option<String>,
    pub(super) min: Option<String>,
    pub(super) requires: Option<String>,
    /// The level that the function itself goes to: it may be called below.
    pub(super) raises: Option<String>,
    #[serde(default)]
    pub(super) when: Vec<Self>,
    /// The condition of a `when` entry.
    #[serde(rename = "if")]
    pub(super) condition: Option<String>,
}

/// A documented IRQL range, from the function's page.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) min: u8,
    pub(super) max: u8,
    pub(super) page: String,
    /// The header allows more, and a rule of Microsoft's says what the page says.
    #[serde(default)]
    pub(super) wins: bool,
}

#[derive(Debug, Deserialize)]
struct Pages {
    pages: BTreeMap<String, Page>,
}

/// Everything in `abi/`.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) ndis: Family,
    pub(super) nt: Family,
    pub(super) ndis_arm64: Family,
    pub(super) nt_arm64: Family,
    pub(super) pages: BTreeMap<String, Page>,
}

impl Facts {
    /// Reads the table under `root`, the repository.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let abi = root.join("abi");
        let pages: Pages = json(&abi.join("irql.json"))?;
        Ok(Self {
            ndis: json(&abi.join("x64/ndis.json"))?,
            nt: json(&abi.join("x64/nt.json"))?,
            ndis_arm64: json(&abi.join("arm64/ndis.json"))?,
            nt_arm64: json(&abi.join("arm64/nt.json"))?,
            pages: pages.pages,
        })
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a facts table", path.display()))
}
