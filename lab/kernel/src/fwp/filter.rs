//! Filters, as an enumeration gives them: what they were added with, without what is behind pointers but the provider.

use lab_rules::event::Lent;

use super::{Handle, KEY_BYTES, PLATFORM, close, is_engine, open};
use crate::abi::constant::STATUS_INVALID_HANDLE;
use crate::driver;
use crate::nt::{SUCCESS, status};
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress, Field};
use crate::watch::OrFault;

/// `FWPM_FILTER0`.
const BYTES: usize = 200;
const PROVIDER: usize = 40;
const LAYER: usize = 64;
const ID: usize = 176;
/// Text, provider data, weights, conditions and what is reserved: pointers, and what says what is behind them.
const POINTERS: [std::ops::Range<usize>; 5] = [16..32, 40..64, 96..128, 168..176, 184..200];
/// `FWPM_FILTER_ENUM_TEMPLATE0`: the provider's key, and that of the layer.
const WANTED_PROVIDER: Field<u64> = Field::at(0);
const WANTED_LAYER: u64 = 8;

/// One that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    bytes: Vec<u8>,
    provider: Option<Vec<u8>>,
}

fn key_at(pointer: u64) -> Result<Option<Vec<u8>>, BadAddress> {
    match pointer {
        0 => Ok(None),
        at => mem::read_bytes(at, KEY_BYTES).map(Some),
    }
}

impl Filter {
    /// What a driver adds, with the key that it has then.
    pub(super) fn read(at: u64, key: &[u8]) -> Result<Self, BadAddress> {
        let mut bytes = mem::read_bytes(at, BYTES)?;
        let provider = key_at(mem::read(at.wrapping_add(PROVIDER as u64))?)?;
        for range in POINTERS {
            bytes[range].fill(0);
        }
        bytes[..KEY_BYTES].copy_from_slice(key);
        Ok(Self { bytes, provider })
    }

    /// It gets its identifier.
    pub(super) fn set_id(&mut self, id: u64) {
        self.bytes[ID..ID + 8].copy_from_slice(&id.to_le_bytes());
    }
}

/// Which filters an enumeration is to give.
struct Wanted {
    provider: Option<Vec<u8>>,
    layer: Option<Vec<u8>>,
}

impl Wanted {
    /// What a template says; without one, all. A layer of zeros is any.
    fn read(template: u64) -> Result<Self, BadAddress> {
        if template == 0 {
            let (provider, layer) = (None, None);
            return Ok(Self { provider, layer });
        }
        let provider = key_at(WANTED_PROVIDER.read(template)?)?;
        let layer = key_at(template.wrapping_add(WANTED_LAYER))?;
        let layer = layer.filter(|layer| layer.iter().any(|byte| *byte != 0));
        Ok(Self { provider, layer })
    }

    fn has(&self, filter: &Filter) -> bool {
        let layer = &filter.bytes[LAYER..LAYER + KEY_BYTES];
        (self.provider.is_none() || self.provider == filter.provider)
            && self.layer.as_ref().is_none_or(|wanted| wanted == layer)
    }
}

/// An array of pointers to filters, in memory that `FwpmFreeMemory0` ends; 0 for none.
fn give(filters: &[Filter]) -> Result<u64, BadAddress> {
    if filters.is_empty() {
        return Ok(0);
    }
    let each = 8 + BYTES + KEY_BYTES;
    let array = driver::lend(Lent::Other, each * filters.len());
    let mut at = array + 8 * filters.len() as u64;
    for (place, filter) in (array..).step_by(8).zip(filters) {
        mem::write(place, at)?;
        mem::write_bytes(at, &filter.bytes)?;
        if let Some(provider) = &filter.provider {
            let key = at + BYTES as u64;
            mem::write_bytes(key, provider)?;
            mem::write(at + PROVIDER as u64, key)?;
        }
        at += (BYTES + KEY_BYTES) as u64;
    }
    Ok(array)
}

/// The driver's filters as they are now: there are none of others.
pub(super) fn enum_open(call: &Call<'_>) -> u64 {
    if !is_engine(call.arg(0)) {
        return status(STATUS_INVALID_HANDLE);
    }
    let wanted = Wanted::read(call.arg(1)).or_fault();
    let rest = PLATFORM.with_borrow(|platform| {
        let filters = platform
            .added
            .values()
            .filter_map(|item| item.filter.as_ref());
        filters.filter(|it| wanted.has(it)).cloned().collect()
    });
    open(Handle::Enumeration { rest }, call.arg(2))
}

pub(super) fn enum_close(call: &Call<'_>) -> u64 {
    close(call.arg(1), |handle| {
        matches!(handle, Handle::Enumeration { .. })
    })
}

/// Those that come next, as many as are wanted at most.
pub(super) fn enumerate(call: &Call<'_>) -> u64 {
    let most = call.arg_u32(2) as usize;
    let next = PLATFORM.with_borrow_mut(|platform| match platform.handles.get_mut(&call.arg(1)) {
        Some(Handle::Enumeration { rest }) => {
            let later = rest.split_off(most.min(rest.len()));
            Some(std::mem::replace(rest, later))
        }
        _ => None,
    });
    let Some(next) = next else {
        return status(STATUS_INVALID_HANDLE);
    };
    let fill = || {
        let given = give(&next)?;
        if given != 0 {
            PLATFORM.with_borrow_mut(|platform| platform.given.insert(given));
        }
        mem::write(call.arg(3), given)?;
        mem::write(call.arg(4), next.len() as u32)
    };
    fill().or_fault();
    SUCCESS
}
