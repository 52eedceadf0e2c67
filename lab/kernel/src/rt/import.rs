//! What the lab offers to an image, and the stubs that imports are bound to.

use std::{collections::BTreeMap, io};

use lab_pe::{Image, ImportName, ImportedModule};

use super::{
    call::{DataExport, Import},
    layout,
    machine::LoadError,
    mapping::{Access, Mapping},
    mem, thunk,
};

const STUB_BYTES: u64 = 16;
/// Names that no image can import: what the loader puts into the pointers of control-flow guard.
const GUARD_CHECK: &str = "(control-flow guard: check)";
const GUARD_DISPATCH: &str = "(control-flow guard: dispatch)";

/// All functions and variables, with their addresses.
///
/// # Invariants
/// Stub `i` of the stub page calls `functions[i]`.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) functions: Vec<&'static Import>,
    addresses: BTreeMap<(&'static str, &'static str), u64>,
    stubs: Mapping,
    _data: Mapping,
}

impl Registry {
    pub(super) fn new(
        imports: &[&'static [Import]],
        data: &[&'static [DataExport]],
    ) -> io::Result<Self> {
        let functions: Vec<&'static Import> =
            imports.iter().flat_map(|imports| imports.iter()).collect();
        let mut addresses = BTreeMap::new();
        let stubs = stubs(&functions, &mut addresses)?;
        let data = variables(data, &mut addresses)?;
        Ok(Self {
            functions,
            addresses,
            stubs,
            _data: data,
        })
    }

    /// Address of what `module` exports as `name`.
    pub(super) fn address(&self, module: &str, name: &str) -> Option<u64> {
        // The HAL is a part of the kernel since Windows 10 2004; its names are forwarded.
        let forwarded = if module == "hal.dll" {
            "ntoskrnl.exe"
        } else {
            module
        };
        let find = |module| self.addresses.get(&(module, name)).copied();
        find(module).or_else(|| find(forwarded))
    }

    /// The first bytes of the stub at `address`.
    pub(super) fn read_stub(&self, address: u64, target: &mut [u8]) {
        self.stubs.read(address - self.stubs.address(), target);
    }

    /// Writes the first bytes of stubs, each at its address.
    pub(super) fn write_stubs<const N: usize>(
        &self,
        stubs: impl Iterator<Item = (u64, [u8; N])>,
    ) -> io::Result<()> {
        const { assert!(N <= STUB_BYTES as usize) };
        self.stubs.protect_all(Access::ReadWrite)?;
        for (address, bytes) in stubs {
            self.stubs.write(address - self.stubs.address(), &bytes);
        }
        self.stubs.protect_all(Access::ReadExecute)
    }

    /// The import slots of `image` with the addresses that they take.
    pub(super) fn bind(&self, image: &Image, name: &str) -> Result<Vec<(u32, u64)>, LoadError> {
        let mut bound = Vec::new();
        let mut missing = Vec::new();
        for ImportedModule {
            name: module,
            functions,
        } in &image.imports
        {
            for function in functions {
                let address = match &function.name {
                    ImportName::Name(name) => self.address(module, name),
                    ImportName::Ordinal(_) => None,
                };
                match address {
                    Some(address) => bound.push((function.slot_rva, address)),
                    None => missing.push(format!("{module}!{}", function.name)),
                }
            }
        }
        if missing.is_empty() {
            bound.extend(self.guards(image));
            return Ok(bound);
        }
        missing.sort_unstable();
        missing.dedup();
        Err(LoadError::MissingImports {
            image: name.to_owned(),
            names: missing,
        })
    }

    /// The pointers of control-flow guard, where the image says what may be called.
    fn guards(&self, image: &Image) -> impl Iterator<Item = (u32, u64)> {
        let config = image.load_config.as_ref();
        let config = config.filter(|config| config.guard_functions.is_some());
        let pointers = config.map_or([None, None], |config| {
            [config.guard_check_rva, config.guard_dispatch_rva]
        });
        let names = [GUARD_CHECK, GUARD_DISPATCH];
        pointers.into_iter().zip(names).filter_map(|(slot, name)| {
            let address = self.address("ntoskrnl.exe", name)?;
            Some((slot?, address))
        })
    }
}

/// Stubs of 16 bytes: `mov eax, index; jmp [thunk]`. The word before the first is the thunk.
fn stubs(
    functions: &[&'static Import],
    addresses: &mut BTreeMap<(&'static str, &'static str), u64>,
) -> io::Result<Mapping> {
    // One slot in front for the thunk's address, and behind those that keep RAX.
    let plain = [
        ("__chkstk", thunk::chkstk()),
        (GUARD_CHECK, thunk::guard_check()),
        (GUARD_DISPATCH, thunk::guard_dispatch()),
    ];
    let mut code = vec![0xCC_u8; STUB_BYTES as usize * (functions.len() + 1 + plain.len())];
    code[..8].copy_from_slice(&thunk::import().to_le_bytes());
    let slots = code.chunks_exact_mut(STUB_BYTES as usize).skip(1);
    for (index, slot) in slots.enumerate() {
        let at = layout::STUBS + STUB_BYTES * (index as u64 + 1);
        let Some(import) = functions.get(index) else {
            let (name, address) = plain[index - functions.len()];
            // mov r11, address; jmp r11.
            slot[..2].copy_from_slice(&[0x49, 0xBB]);
            slot[2..10].copy_from_slice(&address.to_le_bytes());
            slot[10..13].copy_from_slice(&[0x41, 0xFF, 0xE3]);
            addresses.insert(("ntoskrnl.exe", name), at);
            continue;
        };
        slot[0] = 0xB8;
        slot[1..5].copy_from_slice(&(index as u32).to_le_bytes());
        slot[5..7].copy_from_slice(&[0xFF, 0x25]);
        let distance = layout::STUBS.wrapping_sub(at + 11) as u32;
        slot[7..11].copy_from_slice(&distance.to_le_bytes());
        addresses.insert((import.module, import.name), at);
    }
    let bytes = code.len().next_multiple_of(layout::PAGE as usize);
    let stubs = Mapping::private(layout::STUBS, bytes, Access::ReadWrite)?;
    mem::write_bytes(stubs.address(), &code).map_err(io::Error::other)?;
    stubs.protect(0, bytes, Access::ReadExecute)?;
    Ok(stubs)
}

/// Variables, each on 16 bytes of its own at least.
fn variables(
    data: &[&'static [DataExport]],
    addresses: &mut BTreeMap<(&'static str, &'static str), u64>,
) -> io::Result<Mapping> {
    let mut words: Vec<u64> = Vec::new();
    for export in data.iter().flat_map(|data| data.iter()) {
        let address = layout::DATA + 8 * words.len() as u64;
        addresses.insert((export.module, export.name), address);
        words.extend(export.words);
        words.resize((words.len() + 1).next_multiple_of(2), 0);
    }
    let bytes = (8 * words.len())
        .max(1)
        .next_multiple_of(layout::PAGE as usize);
    let seen = Mapping::private(layout::DATA, bytes, Access::ReadWrite)?;
    let content: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    mem::write_bytes(seen.address(), &content).map_err(io::Error::other)?;
    Ok(seen)
}
