//! The structures that a module's transitions are called with. They live as long as the call.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use lab_rules::event::Lent;

use crate::Media;
use crate::abi::constant::{
    MediaConnectStateConnected, MediaDuplexStateFull, NDIS_FILTER_ATTACH_PARAMETERS_REVISION_4,
    NDIS_FILTER_PAUSE_PARAMETERS_REVISION_1, NDIS_FILTER_RESTART_PARAMETERS_REVISION_1,
    NDIS_OBJECT_TYPE_FILTER_ATTACH_PARAMETERS, NDIS_OBJECT_TYPE_FILTER_PAUSE_PARAMETERS,
    NDIS_OBJECT_TYPE_FILTER_RESTART_PARAMETERS, NDIS_OBJECT_TYPE_OFFLOAD,
    NDIS_OBJECT_TYPE_RESTART_GENERAL_ATTRIBUTES, NDIS_OFFLOAD_REVISION_6, NDIS_OFFLOAD_REVISION_7,
    NDIS_PAUSE_NDIS_INTERNAL, NDIS_RESTART_GENERAL_ATTRIBUTES_REVISION_2,
    NDIS_SIZEOF__FILTER_RESTART_PARAMETERS_REVISION_1,
    NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_4,
    NDIS_SIZEOF_FILTER_PAUSE_PARAMETERS_REVISION_1, NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_6,
    NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_7, NDIS_SIZEOF_RESTART_GENERAL_ATTRIBUTES_REVISION_2,
    NdisPhysicalMedium802_3,
};
use crate::abi::ndis::{
    NDIS_FILTER_ATTACH_PARAMETERS as A, NDIS_FILTER_PAUSE_PARAMETERS as P,
    NDIS_FILTER_RESTART_PARAMETERS as R, NDIS_OFFLOAD, NDIS_RESTART_ATTRIBUTES as RA,
    NDIS_RESTART_GENERAL_ATTRIBUTES as G,
};
use crate::driver;
use crate::memory;
use crate::ndis::register::write_header;
use crate::ndis::{adapter, version};
use crate::per_image::per_image;
use crate::rt::mem::{self, BadAddress};
use crate::rt::pool::{self, Owner};
use crate::rt::sched;
use crate::watch::OrFault;

/// Link speed in bits per second.
const LINK_SPEED: u64 = 1_000_000_000;
/// `IF_TYPE_ETHERNET_CSMACD`, which a NET_LUID carries in its upper 16 bits.
const IF_TYPE_ETHERNET: u64 = 6;

thread_local! {
    static MEDIA: Cell<Media> = const {
        Cell::new(Media { attach: 0, restart: 0 })
    };
}

/// A run begins, with adapters of these media.
pub(crate) fn name_media(media: Media) {
    MEDIA.set(media);
}

/// The NET_LUID of an interface: type in bits 48 to 63, index in bits 24 to 47.
pub(crate) fn net_luid(index: u32) -> u64 {
    IF_TYPE_ETHERNET << 48 | u64::from(index) << 24
}

/// A GUID in braces that names an adapter or a module.
fn guid(kind: u16, adapter: u32) -> String {
    format!("{{6C616200-{kind:04X}-4E44-4953-{adapter:012X}}}")
}

/// `NDIS_FILTER_ATTACH_PARAMETERS`.
pub(super) struct Attach {
    address: u64,
    parts: [u64; 4],
}

impl Attach {
    pub(super) fn new(adapter: u32) -> Self {
        let (name, mac) = adapter::with(adapter, |adapter| (adapter.name.clone(), adapter.mac));
        let miniport = guid(1, adapter);
        let module_name = driver::unicode_string(
            Lent::Attach,
            &format!("{miniport}-{}-0000", guid(2, adapter)),
        );
        let instance_name = driver::unicode_string(Lent::Attach, &name);
        let device_name = driver::unicode_string(Lent::Attach, &format!("\\DEVICE\\{miniport}"));
        let offload = driver::lend(Lent::Attach, NDIS_OFFLOAD::SIZE);
        let (revision, size) = match version::minor() {
            ..=84 => (NDIS_OFFLOAD_REVISION_6, NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_6),
            85.. => (NDIS_OFFLOAD_REVISION_7, NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_7),
        };
        write_header(offload, NDIS_OBJECT_TYPE_OFFLOAD, revision, size);
        let at = driver::lend(Lent::Attach, A::SIZE);
        write_header(
            at,
            NDIS_OBJECT_TYPE_FILTER_ATTACH_PARAMETERS,
            NDIS_FILTER_ATTACH_PARAMETERS_REVISION_4,
            NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_4,
        );
        let index = adapter::if_index(adapter);
        // The miniport's own interface lies below the filter's.
        let lower_index = index + 0x100;
        let fill = || {
            A::IfIndex.write(at, index)?;
            A::NetLuid.write(at, net_luid(index))?;
            A::FilterModuleGuidName.write(at, module_name)?;
            A::BaseMiniportIfIndex.write(at, lower_index)?;
            A::BaseMiniportInstanceName.write(at, instance_name)?;
            A::BaseMiniportName.write(at, device_name)?;
            A::MediaConnectState.write(at, MediaConnectStateConnected)?;
            A::MediaDuplexState.write(at, MediaDuplexStateFull)?;
            A::XmitLinkSpeed.write(at, LINK_SPEED)?;
            A::RcvLinkSpeed.write(at, LINK_SPEED)?;
            A::MiniportMediaType.write(at, MEDIA.get().attach as i32)?;
            A::MiniportPhysicalMediaType.write(at, NdisPhysicalMedium802_3)?;
            A::DefaultOffloadConfiguration.write(at, offload)?;
            A::MacAddressLength.write(at, 6)?;
            A::BaseMiniportNetLuid.write(at, net_luid(lower_index))?;
            A::LowerIfIndex.write(at, lower_index)?;
            A::LowerIfNetLuid.write(at, net_luid(lower_index))?;
            A::BaseMiniportIfConnectorPresent.write(at, 1)
        };
        fill().or_fault();
        driver::write(A::CurrentMacAddress.of(at), &mac);
        Self {
            address: at,
            parts: [module_name, instance_name, device_name, offload],
        }
    }

    pub(super) fn address(&self) -> u64 {
        self.address
    }

    pub(super) fn release(self) {
        self.parts.into_iter().for_each(driver::release);
        driver::release(self.address);
    }
}

/// `NDIS_FILTER_RESTART_PARAMETERS`, with attributes to propagate or without.
pub(super) struct Restart {
    address: u64,
    attributes: Vec<Attribute>,
}

/// A restart attribute as it was given: its address and its bytes, the link to the next left out.
struct Attribute {
    address: u64,
    oid: u32,
    bytes: Vec<u8>,
}

/// `OID_GEN_MINIPORT_RESTART_ATTRIBUTES`.
const GENERAL: u32 = 0x0001_021D;
/// An OID of some vendor's, and the bytes that go with it.
const PRIVATE: (u32, usize) = (0xFF00_0A77, 24);
per_image! {
    /// Attributes that were given and not freed.
    static GIVEN: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    GIVEN.take();
}

/// More attributes than any list has.
const ATTRIBUTES: usize = 64;

impl Restart {
    pub(super) fn new(adapter: u32) -> Self {
        let at = driver::lend(Lent::Restart, R::SIZE);
        write_header(
            at,
            NDIS_OBJECT_TYPE_FILTER_RESTART_PARAMETERS,
            NDIS_FILTER_RESTART_PARAMETERS_REVISION_1,
            NDIS_SIZEOF__FILTER_RESTART_PARAMETERS_REVISION_1,
        );
        let lower_index = adapter::if_index(adapter) + 0x100;
        let fill = || {
            R::MiniportMediaType.write(at, MEDIA.get().restart as i32)?;
            R::MiniportPhysicalMediaType.write(at, NdisPhysicalMedium802_3)?;
            R::LowerIfIndex.write(at, lower_index)?;
            R::LowerIfNetLuid.write(at, net_luid(lower_index))
        };
        fill().or_fault();
        let mut addresses = Vec::new();
        if sched::chance(1, 2) {
            // Where there are any, the general ones are the first: the page of the structure calls others the remaining,
            // and Microsoft's sample takes the first for them.
            addresses.push(general_attributes());
            if sched::chance(3, 4) {
                addresses.push(private_attributes());
            }
        }
        let mut next = 0;
        for address in addresses.iter().rev() {
            RA::Next.write(*address, next).or_fault();
            next = *address;
        }
        R::RestartAttributes.write(at, next).or_fault();
        let attributes = addresses
            .into_iter()
            .map(|address| attribute(address).or_fault());
        Self {
            address: at,
            attributes: attributes.collect(),
        }
    }

    pub(super) fn address(&self) -> u64 {
        self.address
    }

    /// Whether there was nothing to propagate.
    pub(super) fn was_null(&self) -> bool {
        self.attributes.is_empty()
    }

    /// Whether the filter changed the list or what is in it, whether it changed an entry that it
    /// cannot know, and whether the memory of an entry is not as NDIS takes it over.
    pub(super) fn changes(&self) -> Result<(bool, bool, bool), BadAddress> {
        let now = self.now()?;
        let is_kept = |given: &Attribute| {
            let same = now.iter().find(|entry| entry.address == given.address);
            same.is_some_and(|entry| entry.oid == given.oid && entry.bytes == given.bytes)
        };
        let has_changed =
            now.len() != self.attributes.len() || !self.attributes.iter().all(is_kept);
        let mut unknown = self.attributes.iter().filter(|given| given.oid != GENERAL);
        let is_given = |address: u64| self.attributes.iter().any(|given| given.address == address);
        let is_linked = |address: u64| now.iter().any(|entry| entry.address == address);
        let is_foreign = |entry: &Attribute| {
            !is_given(entry.address)
                && pool::find(entry.address).is_none_or(|block| {
                    block.owner != Owner::Driver
                        || block.address != entry.address
                        || block.freed.is_some()
                })
        };
        let is_lost = |given: &Attribute| !is_linked(given.address) && is_live(given.address);
        let is_memory_wrong = now.iter().any(is_foreign) || self.attributes.iter().any(is_lost);
        Ok((has_changed, !unknown.all(is_kept), is_memory_wrong))
    }

    /// The list as it is now.
    fn now(&self) -> Result<Vec<Attribute>, BadAddress> {
        let mut list = Vec::new();
        let mut next = R::RestartAttributes.read(self.address)?;
        while next != 0 && list.len() < ATTRIBUTES {
            list.push(attribute(next)?);
            next = RA::Next.read(next)?;
        }
        Ok(list)
    }

    /// Takes the memory away, also that of entries which the filter has added.
    pub(super) fn release(self) {
        let given: Vec<u64> = self.attributes.iter().map(|given| given.address).collect();
        let now = self.now().or_fault();
        let added = now.iter().filter(|entry| !given.contains(&entry.address));
        added.for_each(|entry| memory::free(entry.address, None));
        given.into_iter().for_each(|entry| {
            free_given(entry);
        });
        driver::release(self.address);
    }
}

/// Whether a given attribute has not been freed yet.
fn is_live(address: u64) -> bool {
    GIVEN.with_borrow(|given| given.contains(&address))
}

/// Frees a restart attribute of NDIS', as a filter does that puts another in its place; tells whether it is one.
pub(crate) fn free_given(address: u64) -> bool {
    let was_given = GIVEN.with_borrow_mut(|given| given.remove(&address));
    if was_given {
        driver::release(address);
    }
    was_given
}

fn attribute(address: u64) -> Result<Attribute, BadAddress> {
    let length = RA::DataLength.read(address)? as usize;
    Ok(Attribute {
        address,
        oid: RA::Oid.read(address)?,
        bytes: mem::read_bytes(RA::Data.of(address), length)?,
    })
}

/// An entry with room for its data.
fn entry(oid: u32, length: usize) -> u64 {
    let entry = driver::lend(Lent::Restart, RA::Data.offset() as usize + length);
    RA::Oid.write(entry, oid).or_fault();
    RA::DataLength.write(entry, length as u32).or_fault();
    GIVEN.with_borrow_mut(|given| given.insert(entry));
    entry
}

fn general_attributes() -> u64 {
    let entry = entry(GENERAL, G::SIZE);
    let at = RA::Data.of(entry);
    write_header(
        at,
        NDIS_OBJECT_TYPE_RESTART_GENERAL_ATTRIBUTES,
        NDIS_RESTART_GENERAL_ATTRIBUTES_REVISION_2,
        NDIS_SIZEOF_RESTART_GENERAL_ATTRIBUTES_REVISION_2,
    );
    let fill = || {
        G::MtuSize.write(at, 1500)?;
        G::MaxXmitLinkSpeed.write(at, LINK_SPEED)?;
        G::MaxRcvLinkSpeed.write(at, LINK_SPEED)?;
        G::LookaheadSize.write(at, 1500)?;
        G::MaxMulticastListSize.write(at, 32)
    };
    fill().or_fault();
    entry
}

fn private_attributes() -> u64 {
    let (oid, length) = PRIVATE;
    let entry = entry(oid, length);
    let bytes: Vec<u8> = (0..length).map(|_| sched::random(256) as u8).collect();
    driver::write(RA::Data.of(entry), &bytes);
    entry
}

/// `NDIS_FILTER_PAUSE_PARAMETERS`.
pub(super) struct Pause(u64);

impl Pause {
    pub(super) fn new() -> Self {
        let at = driver::lend(Lent::Restart, P::SIZE);
        write_header(
            at,
            NDIS_OBJECT_TYPE_FILTER_PAUSE_PARAMETERS,
            NDIS_FILTER_PAUSE_PARAMETERS_REVISION_1,
            NDIS_SIZEOF_FILTER_PAUSE_PARAMETERS_REVISION_1,
        );
        P::PauseReason
            .write(at, NDIS_PAUSE_NDIS_INTERNAL)
            .or_fault();
        Self(at)
    }

    pub(super) fn address(&self) -> u64 {
        self.0
    }

    pub(super) fn release(self) {
        driver::release(self.0);
    }
}
