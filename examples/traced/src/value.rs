//! Values of every kind: those at the ends of their ranges, and the longest texts. `xtask/src/trace/wpp.rs` has them too.

use core::net::{Ipv4Addr, Ipv6Addr};

use wpp::{Guid, wpp};

use crate::{Long, Value};

/// A state that has a name.
#[derive(Clone, Copy)]
enum State {
    Stopped,
    Running,
    Broken,
}

wpp::names! {
    /// States.
    enumeration States(State) { Stopped = 0, Running = 1, Broken = 0xFFFFFFFF }
    /// What can be.
    flags Abilities { Receive = 0x1, Send = 0x2, Wake = 0x80000000 }
}

const ID: Guid = Guid::parse("00112233-4455-6677-8899-aabbccddeeff");

/// As long as texts can be, and longer.
pub(crate) static TEXT: [u8; 513] = [b'x'; 513];
static WIDE: [u16; 513] = [0x3B1; 513];
/// Two of these do not fit into a message.
pub(crate) static BYTES: [u8; 40_000] = [0xA5; 40_000];

/// Writes all of it.
pub(crate) fn write() {
    integers();
    wpp!(
        Verbose,
        Value,
        "pointers {null:ptr} {high:ptr}",
        core::ptr::null::<u8>(),
        core::ptr::without_provenance::<u8>(usize::MAX)
    );
    wpp!(Verbose, Value, "truth {no:bool} {yes:bool}", false, true);
    wpp!(
        Verbose,
        Value,
        "irql {passive:irql} {dispatch:irql} {high:irql}",
        0,
        2,
        15
    );
    wpp!(
        Warning,
        Value,
        "status {nt:ntstatus} {ndis:ndis_status} {oid:oid}",
        0xC000_009A_u32.cast_signed(),
        0x4001_000B,
        0x0001_0106
    );
    wpp!(
        Verbose,
        Value,
        "guid {id:guid} {zero:guid}",
        ID,
        Guid::from_memory([0; 16])
    );
    addresses();
    texts();
    for state in [State::Stopped, State::Running, State::Broken] {
        wpp!(Verbose, Value, "state {state:States}", state);
    }
    wpp!(
        Verbose,
        Value,
        "abilities {none:Abilities} {some:Abilities} {all:Abilities}",
        0_u32,
        0x8000_0001_u32,
        0x8000_0003_u32
    );
    wpp!(
        Verbose,
        Value,
        "bytes {none:bytes} {some:bytes}",
        &[],
        &[0, 0x7F, 0xFF]
    );
    wpp!(Verbose, Value, "100% {{nothing}}");
    wpp!(Verbose, Long, "fits {bytes:bytes}", &BYTES);
    wpp!(
        Verbose,
        Long,
        "does not fit {one:bytes} {two:bytes}",
        &BYTES,
        &BYTES
    );
}

fn integers() {
    wpp!(
        Verbose,
        Value,
        "i8 {low:i8} {high:i8} i16 {low16:i16} {high16:i16}",
        i8::MIN,
        i8::MAX,
        i16::MIN,
        i16::MAX
    );
    wpp!(
        Verbose,
        Value,
        "i32 {low:i32} {high:i32} i64 {low64:i64} {high64:i64}",
        i32::MIN,
        i32::MAX,
        i64::MIN,
        i64::MAX
    );
    wpp!(
        Verbose,
        Value,
        "isize {low:isize} usize {high:usize} {hex:xsize}",
        isize::MIN,
        usize::MAX,
        usize::MAX
    );
    wpp!(
        Verbose,
        Value,
        "u8 {a:u8} u16 {b:u16} u32 {c:u32} u64 {d:u64}",
        u8::MAX,
        u16::MAX,
        u32::MAX,
        u64::MAX
    );
    wpp!(
        Verbose,
        Value,
        "x8 {a:x8} x16 {b:x16} x32 {c:x32} x64 {d:x64}",
        0xFE,
        0xFEDC,
        0xFEDC_BA98,
        0xFEDC_BA98_7654_3210
    );
    wpp!(
        Verbose,
        Value,
        "zero {a:i8} {b:u16} {c:x32} {d:i64}",
        0,
        0,
        0,
        0
    );
}

fn addresses() {
    wpp!(
        Verbose,
        Value,
        "v4 {a:ipv4} {b:ipv4} v6 {c:ipv6} {d:ipv6}",
        Ipv4Addr::new(192, 0, 2, 1),
        [255, 255, 255, 255],
        Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1),
        [0; 16]
    );
    wpp!(
        Verbose,
        Value,
        "mac {mac:mac} port {low:port} {high:port}",
        [2, 0, 0, 0, 0, 0xFF],
        0,
        65_535
    );
}

fn texts() {
    wpp!(
        Verbose,
        Value,
        "str [{none:str}] [{some:str}]",
        "",
        "some text"
    );
    wpp!(
        Verbose,
        Value,
        "str {longest:str}",
        TEXT.get(1..).unwrap_or_default()
    );
    wpp!(Verbose, Value, "str {cut:str}", &TEXT);
    wpp!(
        Verbose,
        Value,
        "wstr [{none:wstr}] [{some:wstr}]",
        &[],
        &[0x41, 0x20AC, 0xD83D, 0xDE00]
    );
    wpp!(
        Verbose,
        Value,
        "wstr {longest:wstr}",
        WIDE.get(1..).unwrap_or_default()
    );
    wpp!(Verbose, Value, "wstr {cut:wstr}", &WIDE);
}
