// error[E0277]: a kind of names takes its own enumeration
// says: no value for a WPP message's kind `States`
// at: other

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

/// Something else.
pub enum Other {
    /// One.
    Up,
}

wpp::names! {
    /// States.
    pub enumeration States(crate::State) { Up = 1 }
    /// Others.
    pub enumeration Others(crate::Other) { Up = 1 }
}

/// Writes a message.
pub fn write(other: Other) {
    wpp::wpp!(Error, All, "state {state:States}", other);
}
