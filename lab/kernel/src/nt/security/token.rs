//! Tokens: for whom a thread acts. The system's has every privilege; that of a process of user mode is an ordinary
//! user's.

use std::cell::Cell;

use super::sid::Sid;
use super::well_known::{
    ADMINISTRATORS, AUTHENTICATED, CHANGE_NOTIFY, INTERACTIVE, SYSTEM, USERS, WORLD,
};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::sched;

/// Bytes of a token, of which a driver knows the address only.
const BYTES: usize = 64;
/// The lowest and the highest privilege.
const PRIVILEGES: std::ops::RangeInclusive<u32> = 2..=36;
/// An account of a machine.
const USER: Sid = Sid::new(5, &[21, 397_955_417, 626_881_126, 188_441_444, 1001]);

/// Whose a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::nt) enum Token {
    System,
    User,
}

per_image! {
    /// The two of them, once they were asked for.
    static TOKENS: Cell<[u64; 2]> = const { Cell::new([0; 2]) };
}

/// Forgets all tokens: a run begins.
pub(in crate::nt) fn reset() {
    TOKENS.set([0; 2]);
}

impl Token {
    /// That of the running process.
    pub(in crate::nt) fn current() -> Self {
        match sched::process() {
            0 => Self::System,
            _ => Self::User,
        }
    }

    /// The token at an address.
    pub(super) fn at(address: u64) -> Option<Self> {
        let [system, user] = TOKENS.get();
        match address {
            0 => None,
            address if address == system => Some(Self::System),
            address if address == user => Some(Self::User),
            _ => None,
        }
    }

    /// Where it is.
    pub(in crate::nt) fn address(self) -> u64 {
        let mut tokens = TOKENS.get();
        let place = self as usize;
        if tokens[place] == 0 {
            tokens[place] = driver::object(BYTES);
            TOKENS.set(tokens);
        }
        tokens[place]
    }

    /// Whether it is of this user or group.
    pub(super) fn has(self, sid: &Sid) -> bool {
        let groups: &[Sid] = match self {
            Self::System => &[SYSTEM, ADMINISTRATORS, WORLD, AUTHENTICATED],
            Self::User => &[USER, USERS, WORLD, AUTHENTICATED, INTERACTIVE],
        };
        groups.contains(sid)
    }

    /// Whether a privilege is enabled in it.
    pub(super) fn is_privileged(self, privilege: u64) -> bool {
        let privilege = u32::try_from(privilege).unwrap_or(0);
        match self {
            Self::System => PRIVILEGES.contains(&privilege),
            Self::User => privilege == CHANGE_NOTIFY,
        }
    }

    /// The session of its logon: `SYSTEM_LUID`, or one of somebody's.
    pub(super) fn logon(self) -> u64 {
        match self {
            Self::System => 0x3E7,
            Self::User => 0x1_86A0,
        }
    }
}
