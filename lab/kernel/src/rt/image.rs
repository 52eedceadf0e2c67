//! The image in memory: mapped twice, relocated, bound, protected.

use std::{cell::RefCell, collections::BTreeMap, io, path::PathBuf, rc::Rc};

use lab_pe::{Image, Protection, Section, unwind::UnwindInfo};

use super::{
    import::Registry,
    layout,
    machine::{ImageConfig, LoadError},
    mapping::{Access, Twice},
    mem,
    patch::{self, Findings},
    random::Random,
};

/// The cookie that compilers put in; an image that finds it unchanged refuses to run.
const DEFAULT_COOKIE: u64 = 0x2B99_2DDF_A232;

/// An image that is ready to run.
#[derive(Debug)]
pub(super) struct LoadedImage {
    pub(super) plan: Rc<Image>,
    pub(super) findings: Rc<Findings>,
    /// Where it lies.
    pub(super) base: u64,
    /// Where its symbols are, if anywhere.
    pub(super) pdb: Option<PathBuf>,
    memory: Twice,
    /// Unwind information that was looked up, by its RVA.
    unwind: RefCell<BTreeMap<u32, Rc<UnwindInfo>>>,
}

impl LoadedImage {
    /// Maps an image at `base` and binds it to `registry`.
    pub(super) fn load(
        image: ImageConfig,
        base: u64,
        registry: &Registry,
        random: &mut Random,
    ) -> Result<Self, LoadError> {
        let bound = registry.bind(&image.image, &image.name)?;
        let findings = patch::examined(&image.image);
        Self::map(image, base, findings, &bound, random).map_err(LoadError::host("map the image"))
    }

    fn map(
        image: ImageConfig,
        base: u64,
        findings: Rc<Findings>,
        bound: &[(u32, u64)],
        random: &mut Random,
    ) -> io::Result<Self> {
        let (plan, pdb) = (image.image, image.pdb);
        let memory = Twice::new(base, plan.size_bytes(), Access::None)?;
        let mut bytes = plan.mapped.clone();
        relocate(&mut bytes, &plan, base);
        for (slot, address) in bound {
            put(&mut bytes, *slot, &address.to_le_bytes());
        }
        for patch in &findings.patches {
            put(&mut bytes, patch.rva, patch.bytes);
        }
        let config = plan.load_config.as_ref();
        if let Some(slot) = config.and_then(|config| config.security_cookie_rva) {
            put(&mut bytes, slot, &cookie(random).to_le_bytes());
        }
        mem::poke(base, &bytes).map_err(io::Error::other)?;
        let seen = memory.seen();
        let headers = plan.headers_bytes.next_multiple_of(lab_pe::PAGE_BYTES);
        seen.protect(0, headers as usize, Access::Read)?;
        for section in &plan.sections {
            let access = access(section.protection);
            seen.protect(u64::from(section.rva), pages(section), access)?;
        }
        Ok(Self {
            plan,
            findings,
            base,
            pdb,
            memory,
            unwind: RefCell::default(),
        })
    }

    /// Makes the sections untouchable that Windows frees after `DriverEntry`.
    pub(super) fn discard(&self) {
        for section in self
            .plan
            .sections
            .iter()
            .filter(|section| section.discardable)
        {
            self.memory
                .seen()
                .protect(u64::from(section.rva), pages(section), Access::None)
                .expect("Linux can make a page of ours untouchable");
        }
    }

    /// The unwind information at `rva`, if it makes sense.
    pub(super) fn unwind_info(&self, rva: u32) -> Option<Rc<UnwindInfo>> {
        if let Some(info) = self.unwind.borrow().get(&rva) {
            return Some(Rc::clone(info));
        }
        let info = Rc::new(self.plan.unwind_info(rva).ok()?);
        self.unwind.borrow_mut().insert(rva, Rc::clone(&info));
        Some(info)
    }

    /// Sections that Windows pages: those whose names begin with `PAGE`.
    fn paged(&self) -> impl Iterator<Item = &Section> {
        let sections = self.plan.sections.iter();
        sections.filter(|section| section.name.starts_with("PAGE") && !section.discardable)
    }

    /// Whether there are any.
    pub(super) fn has_paged(&self) -> bool {
        self.paged().next().is_some()
    }

    /// Where the pageable section with `address` begins, and its bytes in whole pages.
    pub(super) fn paged_section(&self, address: u64) -> Option<(u64, usize)> {
        self.paged()
            .map(|section| (self.base + u64::from(section.rva), pages(section)))
            .find(|(first, bytes)| {
                address
                    .checked_sub(*first)
                    .is_some_and(|offset| offset < *bytes as u64)
            })
    }

    /// Whether `address` is in a pageable section.
    pub(super) fn is_paged(&self, address: u64) -> bool {
        self.paged_section(address).is_some()
    }

    /// Makes pageable sections untouchable, or touchable again; those with `resident` pages stay as they
    /// are.
    pub(super) fn protect_paged(&self, is_open: bool, resident: &[(u64, usize)]) {
        for section in self.paged() {
            let first = self.base + u64::from(section.rva);
            let range = first..first + pages(section) as u64;
            let stays = resident.iter().any(|(first, _)| range.contains(first));
            if is_open || !stays {
                let access = if is_open {
                    access(section.protection)
                } else {
                    Access::None
                };
                self.memory
                    .seen()
                    .protect(u64::from(section.rva), pages(section), access)
                    .expect("Linux can protect pages of ours");
            }
        }
    }

    /// Whether `address` is in the image.
    pub(super) fn contains(&self, address: u64) -> bool {
        address
            .checked_sub(self.base)
            .is_some_and(|rva| rva < self.plan.size_bytes() as u64)
    }

    /// RVA of an address in the image.
    pub(super) fn rva(&self, address: u64) -> Option<u32> {
        self.contains(address).then(|| (address - self.base) as u32)
    }

    /// The functions that may be called through pointers, if it says which.
    fn guarded(&self) -> Option<&[u32]> {
        self.plan.load_config.as_ref()?.guard_functions.as_deref()
    }
}

/// The images of a stack, by number.
#[derive(Debug)]
pub(super) struct Images(pub(super) Vec<LoadedImage>);

impl Images {
    /// The image that an address is in.
    pub(super) fn at(&self, address: u64) -> Option<&LoadedImage> {
        self.0.iter().find(|image| image.contains(address))
    }

    /// A bit for each byte from where images begin, set where a function begins that may be called through a pointer,
    /// and the bytes; nothing where no image says which those are. In one that does not all may be.
    pub(super) fn guard(&self) -> Option<(Box<[u64]>, u64)> {
        let end = |image: &LoadedImage| image.base + image.plan.size_bytes() as u64 - layout::IMAGE;
        self.0.iter().find_map(LoadedImage::guarded)?;
        let bytes = self.0.iter().map(end).max()?;
        let mut map = vec![0_u64; bytes.div_ceil(64) as usize].into_boxed_slice();
        for image in &self.0 {
            let first = image.base - layout::IMAGE;
            let Some(functions) = image.guarded() else {
                let words = first as usize / 64..end(image).div_ceil(64) as usize;
                map[words].fill(u64::MAX);
                continue;
            };
            for rva in functions {
                let offset = first + u64::from(*rva);
                if let Some(word) = map.get_mut(offset as usize / 64) {
                    *word |= 1 << (offset % 64);
                }
            }
        }
        Some((map, bytes))
    }
}

/// Bytes of the pages that a section takes.
fn pages(section: &Section) -> usize {
    section.bytes.next_multiple_of(lab_pe::PAGE_BYTES) as usize
}

/// Writes into the image's bytes. The plan's invariant says that every RVA is inside.
fn put(bytes: &mut [u8], rva: u32, value: &[u8]) {
    bytes[rva as usize..rva as usize + value.len()].copy_from_slice(value);
}

fn relocate(bytes: &mut [u8], plan: &Image, base: u64) {
    let delta = base.wrapping_sub(plan.preferred_base);
    for rva in &plan.relocations {
        let word = &mut bytes[*rva as usize..*rva as usize + 8];
        let address = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        word.copy_from_slice(&address.wrapping_add(delta).to_le_bytes());
    }
}

/// A cookie as the Windows loader makes it: not the default one, and with zero in its upper 16 bits.
fn cookie(random: &mut Random) -> u64 {
    match random.next() >> 16 {
        0 | DEFAULT_COOKIE => DEFAULT_COOKIE + 1,
        cookie => cookie,
    }
}

fn access(protection: Protection) -> Access {
    match protection {
        Protection {
            write: true,
            execute: true,
            ..
        } => Access::All,
        Protection { execute: true, .. } => Access::ReadExecute,
        Protection { write: true, .. } => Access::ReadWrite,
        Protection { read: true, .. } => Access::Read,
        Protection { .. } => Access::None,
    }
}
