//! `SeExports`: identifiers and privileges that everybody knows.

use super::sid::Sid;
use crate::driver;
use crate::rt;
use crate::rt::mem;
use crate::watch::OrFault;

/// `SE_SECURITY_PRIVILEGE`, `SE_TAKE_OWNERSHIP_PRIVILEGE`, `SE_CHANGE_NOTIFY_PRIVILEGE`.
pub(super) const SECURITY: u32 = 8;
pub(super) const TAKE_OWNERSHIP: u32 = 9;
pub(super) const CHANGE_NOTIFY: u32 = 23;

pub(super) const WORLD: Sid = Sid::new(1, &[0]);
pub(super) const INTERACTIVE: Sid = nt(&[4]);
pub(super) const AUTHENTICATED: Sid = nt(&[11]);
pub(super) const SYSTEM: Sid = nt(&[18]);
pub(super) const ADMINISTRATORS: Sid = nt(&[32, 544]);
pub(super) const USERS: Sid = nt(&[32, 545]);
pub(super) const OWNER_RIGHTS: Sid = Sid::new(3, &[4]);

const fn nt(parts: &[u32]) -> Sid {
    Sid::new(5, parts)
}

/// The part of an integrity level.
const fn level(level: u32) -> Sid {
    Sid::new(16, &[level])
}

/// A member of the structure; each takes eight bytes.
enum Member {
    Privilege(u32),
    Sid(Sid),
}

use Member::{Privilege as P, Sid as S};

/// `SE_EXPORTS`, up to the application silos of Windows 11 24H2, whose identifiers no page tells.
const MEMBERS: &[Member] = &[
    P(2),
    P(3),
    P(4),
    P(5),
    P(6),
    P(7),
    P(SECURITY),
    P(TAKE_OWNERSHIP),
    P(10),
    P(15),
    P(14),
    P(11),
    P(12),
    P(13),
    P(16),
    P(17),
    P(18),
    P(19),
    P(20),
    P(21),
    P(22),
    P(CHANGE_NOTIFY),
    P(24),
    S(Sid::new(0, &[0])),
    S(WORLD),
    S(Sid::new(2, &[0])),
    S(Sid::new(3, &[0])),
    S(Sid::new(3, &[1])),
    S(nt(&[])),
    S(nt(&[1])),
    S(nt(&[2])),
    S(nt(&[3])),
    S(INTERACTIVE),
    S(SYSTEM),
    S(ADMINISTRATORS),
    S(USERS),
    S(nt(&[32, 546])),
    S(nt(&[32, 547])),
    S(nt(&[32, 548])),
    S(nt(&[32, 549])),
    S(nt(&[32, 550])),
    S(nt(&[32, 551])),
    S(AUTHENTICATED),
    S(nt(&[12])),
    S(nt(&[7])),
    P(25),
    P(26),
    P(27),
    S(nt(&[19])),
    S(nt(&[20])),
    P(28),
    P(29),
    P(30),
    P(31),
    P(32),
    P(33),
    P(34),
    P(35),
    S(nt(&[17])),
    S(level(0)),
    S(level(0x1000)),
    S(level(0x2000)),
    S(level(0x3000)),
    S(level(0x4000)),
    S(OWNER_RIGHTS),
    S(Sid::new(15, &[2, 1])),
    S(nt(&[84, 0, 0, 0, 0, 0])),
    S(Sid::new(19, &[1024, 8192])),
    S(nt(&[
        80,
        956_008_885,
        3_418_522_649,
        1_831_038_044,
        1_853_292_631,
        2_271_478_464,
    ])),
    P(36),
];

/// Fills the structure, and points the variable at it: a run begins.
pub(crate) fn export() {
    let Some(variable) = rt::import_address("ntoskrnl.exe", "SeExports") else {
        return;
    };
    let words = 8 * MEMBERS.len();
    let sids = MEMBERS.iter().map(|member| match member {
        P(_) => 0,
        S(sid) => sid.bytes().len(),
    });
    let exports = driver::object(words + sids.sum::<usize>());
    let mut free = exports + words as u64;
    for (at, member) in (exports..).step_by(8).zip(MEMBERS) {
        let word = match member {
            P(privilege) => u64::from(*privilege),
            S(sid) => {
                let place = free;
                driver::write(place, sid.bytes());
                free += sid.bytes().len() as u64;
                place
            }
        };
        driver::write(at, &word.to_le_bytes());
    }
    mem::write(variable, exports).or_fault();
}
