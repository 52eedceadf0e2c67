//! What the registry holds: keys by their full names, each with its values. It is the lab's own, and lasts for a run.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::ParameterValue;
use crate::abi::constant::{REG_BINARY, REG_DWORD, REG_MULTI_SZ, REG_SZ};
use crate::nt::ansi::wide;
use crate::nt::full_name::{FullName, Tree};
use crate::per_image::per_image;

/// The key that `DriverEntry` is told of.
pub(crate) const SERVICE: &str = "\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Services\\filter";
/// Its subkey with what a driver and its adapters are configured with.
const PARAMETERS: &str = "\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Services\\filter\\Parameters";

/// Keys that are there beside those and the ones above them.
const OTHERS: &[&str] = &[
    "\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Control",
    "\\REGISTRY\\MACHINE\\HARDWARE\\DEVICEMAP",
    "\\REGISTRY\\MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion",
    "\\REGISTRY\\USER\\.DEFAULT",
];

/// The registry, in which the current control set may have its other name in a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Registry {}

impl Tree for Registry {
    fn rename(upper: String) -> String {
        let current = "\\REGISTRY\\MACHINE\\SYSTEM\\CURRENTCONTROLSET";
        match upper.strip_prefix(current) {
            Some(rest) if rest.is_empty() || rest.starts_with('\\') => {
                format!("\\REGISTRY\\MACHINE\\SYSTEM\\CONTROLSET001{rest}")
            }
            _ => upper,
        }
    }
}

/// A key, by its full name.
pub(crate) type KeyName = FullName<Registry>;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) name: String,
    /// `REG_…`.
    pub(super) kind: u32,
    pub(super) data: Vec<u8>,
}

/// A key.
#[derive(Clone, Debug, Default)]
pub(super) struct Key {
    /// The last part of its name, as it was given.
    pub(super) name: String,
    pub(super) values: Vec<Value>,
    /// When it was last changed, in virtual ns.
    pub(super) written_ns: u64,
    is_volatile: bool,
}

impl Key {
    /// A value by its name in any case.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        let mut values = self.values.iter();
        values.find(|value| is_same(&value.name, name))
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one.to_uppercase() == other.to_uppercase()
}

/// Why a key is not made, or not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no key that it would be right below.
    NoParent,
    /// It would last longer than the key above it.
    ParentIsVolatile,
    /// It has keys below it.
    HasKeys,
    /// It is not there.
    Gone,
}

type Keys = BTreeMap<KeyName, Key>;

per_image! {
    static KEYS: RefCell<Keys> = const { RefCell::new(BTreeMap::new()) };
}

/// The registry as a run begins: with the driver's key, its parameters, and little else.
pub(crate) fn configure(parameters: &[(String, ParameterValue)]) {
    let mut keys = Keys::new();
    for path in [PARAMETERS].iter().chain(OTHERS) {
        let mut whole = String::new();
        for part in path.split('\\').skip(1) {
            whole = format!("{whole}\\{part}");
            let key = Key {
                name: part.to_owned(),
                ..Key::default()
            };
            keys.entry(KeyName::new(&whole)).or_insert(key);
        }
    }
    // A driver that the system starts, as the INF of a filter says.
    let service = [("Type", 1), ("Start", 1), ("ErrorControl", 1)];
    let service = service.map(|(name, value)| (name.to_owned(), ParameterValue::Integer(value)));
    for (path, values) in [(SERVICE, &service[..]), (PARAMETERS, parameters)] {
        if let Some(key) = keys.get_mut(&KeyName::new(path)) {
            key.values.extend(values.iter().map(|(name, value)| {
                let (kind, data) = encode(value);
                let name = name.clone();
                Value { name, kind, data }
            }));
        }
    }
    KEYS.set(keys);
}

/// Looks at a key.
pub(super) fn with<T>(name: &KeyName, look: impl FnOnce(&Key) -> T) -> Option<T> {
    KEYS.with_borrow(|keys| keys.get(name).map(look))
}

/// The names of the keys right below one, in order.
pub(super) fn children(name: &KeyName) -> Vec<KeyName> {
    KEYS.with_borrow(|keys| {
        let names = keys.keys();
        names.filter(|it| it.is_child_of(name)).cloned().collect()
    })
}

/// Makes a key; tells whether it is new.
pub(super) fn create(
    name: &KeyName,
    as_given: &str,
    is_volatile: bool,
    now_ns: u64,
) -> Result<bool, Refusal> {
    KEYS.with_borrow_mut(|keys| {
        if keys.contains_key(name) {
            return Ok(false);
        }
        let parent = name.parent().and_then(|parent| keys.get_mut(&parent));
        let parent = parent.ok_or(Refusal::NoParent)?;
        if parent.is_volatile && !is_volatile {
            return Err(Refusal::ParentIsVolatile);
        }
        parent.written_ns = now_ns;
        let key = Key {
            name: as_given.to_owned(),
            written_ns: now_ns,
            is_volatile,
            values: Vec::new(),
        };
        keys.insert(name.clone(), key);
        Ok(true)
    })
}

/// Deletes a key, which must have none below it.
pub(super) fn delete(name: &KeyName) -> Result<(), Refusal> {
    if !children(name).is_empty() {
        return Err(Refusal::HasKeys);
    }
    let gone = KEYS.with_borrow_mut(|keys| keys.remove(name));
    gone.map(|_| ()).ok_or(Refusal::Gone)
}

/// Sets a value; tells whether the key is there.
pub(super) fn set(name: &KeyName, value: Value, now_ns: u64) -> bool {
    let set = |key: &mut Key| {
        key.written_ns = now_ns;
        let mut values = key.values.iter_mut();
        match values.find(|old| is_same(&old.name, &value.name)) {
            Some(old) => (old.kind, old.data) = (value.kind, value.data),
            None => key.values.push(value),
        }
    };
    KEYS.with_borrow_mut(|keys| keys.get_mut(name).map(set).is_some())
}

/// Deletes a value; tells whether it was there.
pub(super) fn delete_value(name: &KeyName, value: &str) -> bool {
    KEYS.with_borrow_mut(|keys| {
        let Some(key) = keys.get_mut(name) else {
            return false;
        };
        let before = key.values.len();
        key.values.retain(|known| !is_same(&known.name, value));
        key.values.len() < before
    })
}

/// The key of the parameters of the driver and its adapters.
pub(crate) fn parameters() -> KeyName {
    KeyName::new(PARAMETERS)
}

/// A value of such a key or of one below it, by its name in any case, where it is of a type that NDIS knows.
pub(crate) fn parameter(key: &KeyName, name: &str) -> Option<ParameterValue> {
    with(key, |key| key.value(name).and_then(decode)).flatten()
}

/// Changes such a value; tells whether the key is there.
pub(crate) fn set_parameter(
    key: &KeyName,
    name: &str,
    value: &ParameterValue,
    now_ns: u64,
) -> bool {
    let (kind, data) = encode(value);
    let name = name.to_owned();
    set(key, Value { name, kind, data }, now_ns)
}

/// A key below another, if it is there.
pub(crate) fn key_below(key: &KeyName, path: &str) -> Option<KeyName> {
    let below = key.below(path);
    with(&below, |_| ()).map(|()| below)
}

/// The key right below another at this place, with its name.
pub(crate) fn key_at(key: &KeyName, index: usize) -> Option<(KeyName, String)> {
    let below = children(key).into_iter().nth(index)?;
    let name = with(&below, |key| key.name.clone())?;
    Some((below, name))
}

/// A value's type, and its bytes as the registry keeps them.
fn encode(value: &ParameterValue) -> (u32, Vec<u8>) {
    match value {
        ParameterValue::Integer(value) => (REG_DWORD, value.to_le_bytes().to_vec()),
        ParameterValue::String(value) => (REG_SZ, terminated(value)),
        ParameterValue::MultiString(values) => {
            let mut bytes: Vec<u8> = values.iter().flat_map(|value| terminated(value)).collect();
            bytes.extend([0; 2]);
            (REG_MULTI_SZ, bytes)
        }
        ParameterValue::Binary(bytes) => (REG_BINARY, bytes.clone()),
    }
}

/// A text as the registry keeps it.
pub(super) fn terminated(text: &str) -> Vec<u8> {
    let mut bytes = wide(text);
    bytes.extend([0; 2]);
    bytes
}

/// The texts of a value that has several, which an empty one ends.
pub(super) fn texts(data: &[u8]) -> Vec<String> {
    let mut rest = data;
    let next = || {
        let next = Some(text(rest)).filter(|text| !text.is_empty())?;
        rest = rest.get(terminated(&next).len()..).unwrap_or_default();
        Some(next)
    };
    std::iter::from_fn(next).collect()
}

/// The units of a text, up to its terminator if it has one.
pub(super) fn text(data: &[u8]) -> String {
    let units: Vec<u16> = data
        .as_chunks()
        .0
        .iter()
        .map(|unit| u16::from_le_bytes(*unit))
        .collect();
    let end = units.iter().position(|unit| *unit == 0);
    String::from_utf16_lossy(&units[..end.unwrap_or(units.len())])
}

fn decode(value: &Value) -> Option<ParameterValue> {
    match value.kind {
        REG_DWORD => {
            let bytes = value.data.first_chunk()?;
            Some(ParameterValue::Integer(u32::from_le_bytes(*bytes)))
        }
        REG_SZ => Some(ParameterValue::String(text(&value.data))),
        REG_BINARY => Some(ParameterValue::Binary(value.data.clone())),
        REG_MULTI_SZ => Some(ParameterValue::MultiString(texts(&value.data))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyName, Refusal, SERVICE};
    use crate::ParameterValue;

    #[test]
    fn parameters_are_the_same_either_way() {
        let texts = || vec!["a".to_owned(), "bc".to_owned()];
        let given = [
            ("Depth".to_owned(), ParameterValue::Integer(7)),
            ("Names".to_owned(), ParameterValue::MultiString(texts())),
            ("Mode".to_owned(), ParameterValue::String("tap".to_owned())),
            ("Raw".to_owned(), ParameterValue::Binary(vec![1, 2])),
        ];
        super::configure(&given);
        for (name, value) in given {
            assert_eq!(
                super::parameter(&super::parameters(), &name.to_uppercase()),
                Some(value)
            );
        }
        super::set_parameter(
            &super::parameters(),
            "depth",
            &ParameterValue::Integer(8),
            5,
        );
        let key = KeyName::new(SERVICE).below("parameters");
        let data = super::with(&key, |key| {
            (
                key.values.len(),
                key.value("DEPTH").map(|it| it.data.clone()),
            )
        });
        assert_eq!(data, Some((4, Some(vec![8, 0, 0, 0]))));
    }

    #[test]
    fn keys_come_and_go() {
        super::configure(&[]);
        let current = "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\Filter";
        let service = KeyName::new(current);
        assert_eq!(service, KeyName::new(SERVICE));
        let (one, two) = (service.below("One"), service.below("One\\Two"));
        assert_eq!(super::create(&two, "Two", false, 1), Err(Refusal::NoParent));
        assert_eq!(super::create(&one, "One", true, 1), Ok(true));
        assert_eq!(super::create(&one, "ONE", true, 1), Ok(false));
        let refused = super::create(&two, "Two", false, 1);
        assert_eq!(refused, Err(Refusal::ParentIsVolatile));
        assert_eq!(super::create(&two, "Two", true, 1), Ok(true));
        assert_eq!(super::children(&one), std::slice::from_ref(&two));
        assert_eq!(super::delete(&one), Err(Refusal::HasKeys));
        assert_eq!(super::delete(&two), Ok(()));
        assert_eq!(super::delete(&two), Err(Refusal::Gone));
    }
}
