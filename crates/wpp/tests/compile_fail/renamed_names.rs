// error[E0080]: a kind of names keeps its name, for formats go by that
// says: a kind of `names!` under another name than there

#![no_std]
#![forbid(unsafe_code)]

wpp::control! {
    /// Of this case.
    pub static WPP = "00112233-4455-6677-8899-aabbccddeeff";
    /// All.
    pub flag All;
}

/// What can be.
pub enum State {
    /// One.
    Up,
}

/// Where it is declared.
pub mod declared {
    wpp::names! {
        /// States.
        pub enumeration States(crate::State) { Up = 1 }
    }
}

use declared::States as Others;

/// What formats would take for it.
pub mod other {
    wpp::names! {
        /// Others.
        pub flags Others { Left = 1 }
    }
}

/// Writes a message.
pub fn write(state: State) {
    wpp::wpp!(Error, All, "state {state:Others}", state);
}
