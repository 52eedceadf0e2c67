//! What a processor looks like to driver code: its control region behind `gs:`, and the page that
//! Windows shares with every process.

use std::{arch::asm, io};

use super::{
    layout::{PAGE, PROCESSORS, SHARED_USER_DATA},
    mapping::{Access, Mapping, Twice},
    mem,
};

/// Where KUSER_SHARED_DATA is in Windows. Linux cannot map it.
pub(super) const KUSER_SHARED_DATA: u64 = 0xFFFF_F780_0000_0000;
/// Virtual processors at most.
pub(crate) const PROCESSORS_MOST: u32 = 16;

const REGION_BYTES: u64 = 0x10000;
/// Duration of a clock tick, in units of 100 ns: 1/64 s, as an idle Windows has it.
const TICK_100NS: u64 = 156_250;
/// 2026-01-01 in the system's time, in units of 100 ns since 1601.
const BOOT_TIME_100NS: u64 = 134_117_856_000_000_000;

// KPCR and, from 180h, KPRCB: the members that `ntddk.h` shows or that inline functions read.
const SELF: mem::Field<u64> = mem::Field::at(0x18);
const CURRENT_PRCB: mem::Field<u64> = mem::Field::at(0x20);
const USED_SELF: mem::Field<u64> = mem::Field::at(0x30);
const MAJOR_VERSION: mem::Field<u16> = mem::Field::at(0x60);
const MINOR_VERSION: mem::Field<u16> = mem::Field::at(0x62);
const PRCB: u64 = 0x180;
const LEGACY_NUMBER: mem::Field<u8> = mem::Field::at(PRCB + 4);
const CURRENT_THREAD: mem::Field<u64> = mem::Field::at(PRCB + 8);
const NUMBER: mem::Field<u32> = mem::Field::at(PRCB + 0x24);

// KUSER_SHARED_DATA.
const TICK_COUNT_MULTIPLIER: u64 = 0x04;
const INTERRUPT_TIME: u64 = 0x08;
const SYSTEM_TIME: u64 = 0x14;
const NT_MAJOR_VERSION: u64 = 0x26C;
const NT_BUILD_NUMBER: u64 = 0x260;
const TICK_COUNT: u64 = 0x320;

/// The processors' control regions, and the shared page, which driver code may only read.
#[derive(Debug)]
pub(super) struct Processors {
    regions: Mapping,
    _shared: Twice,
}

impl Processors {
    pub(super) fn new(count: u32) -> io::Result<Self> {
        let bytes = REGION_BYTES * u64::from(count);
        let regions = Mapping::private(PROCESSORS, bytes as usize, Access::ReadWrite)?;
        let shared = Twice::new(SHARED_USER_DATA, PAGE as usize, Access::Read)?;
        let processors = Self {
            regions,
            _shared: shared,
        };
        processors.fill(count).map_err(io::Error::other)?;
        Ok(processors)
    }

    fn fill(&self, count: u32) -> Result<(), mem::BadAddress> {
        for number in 0..count {
            let region = self.region(number);
            SELF.write(region, region)?;
            USED_SELF.write(region, region)?;
            CURRENT_PRCB.write(region, region + PRCB)?;
            MAJOR_VERSION.write(region, 1)?;
            MINOR_VERSION.write(region, 1)?;
            LEGACY_NUMBER.write(region, number as u8)?;
            NUMBER.write(region, number)?;
        }
        let set =
            |offset: u64, value: u32| mem::poke(SHARED_USER_DATA + offset, &value.to_le_bytes());
        set(TICK_COUNT_MULTIPLIER, ((TICK_100NS << 24) / 10_000) as u32)?;
        set(NT_MAJOR_VERSION, 10)?;
        set(NT_BUILD_NUMBER, 26_100)?;
        set_clock(0)
    }

    fn region(&self, number: u32) -> u64 {
        self.regions.address() + REGION_BYTES * u64::from(number)
    }

    /// Makes `gs:` mean this processor, running that thread.
    pub(super) fn enter(&self, number: u32, thread_object: u64) {
        let region = self.region(number);
        CURRENT_THREAD
            .write(region, thread_object)
            .expect("the region is ours and writable");
        set_gs(region);
    }
}

/// System time (100 ns since 1601) when the virtual clock shows `now_ns`.
pub(crate) fn system_time_100ns(now_ns: u64) -> u64 {
    BOOT_TIME_100NS + now_ns / 100
}

/// Clock ticks when the virtual clock shows `now_ns`.
pub(crate) fn tick_count(now_ns: u64) -> u64 {
    now_ns / 100 / TICK_100NS
}

/// Duration of a clock tick, in units of 100 ns.
pub(crate) const fn tick_100ns() -> u64 {
    TICK_100NS
}

/// Writes the times into the shared page.
pub(super) fn set_clock(now_ns: u64) -> Result<(), mem::BadAddress> {
    // KSYSTEM_TIME: low, high, and high again for readers that race with the writer.
    let set = |offset: u64, value: u64| {
        mem::poke(SHARED_USER_DATA + offset, &value.to_le_bytes())?;
        mem::poke(
            SHARED_USER_DATA + offset + 8,
            &((value >> 32) as u32).to_le_bytes(),
        )
    };
    set(INTERRUPT_TIME, now_ns / 100)?;
    set(SYSTEM_TIME, system_time_100ns(now_ns))?;
    set(TICK_COUNT, tick_count(now_ns))
}

/// Sets the base of `gs:`, which Linux programs do not use.
fn set_gs(base: u64) {
    if fsgsbase() {
        // SAFETY: the processor has the instruction and Linux allows it (HWCAP2), and nothing of
        // Rust or libc uses GS.
        unsafe { asm!("wrgsbase {}", in(reg) base, options(nostack, preserves_flags)) };
    } else {
        const ARCH_SET_GS: libc::c_int = 0x1001;
        // SAFETY: as above; the call changes nothing else.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, base) };
    }
}

pub(super) fn fsgsbase() -> bool {
    const HWCAP2_FSGSBASE: libc::c_ulong = 2;
    thread_local!(static HAS: bool = {
        // SAFETY: reads a value that the kernel gave to the process.
        let capabilities = unsafe { libc::getauxval(libc::AT_HWCAP2) };
        capabilities & HWCAP2_FSGSBASE != 0
    });
    HAS.with(|has| *has)
}
