// error: levels are those of WPP
// says: a level is one of Critical, Error, Warning, Information, Verbose

#![no_std]
#![forbid(unsafe_code)]

wpp::control! {
    /// Of this case.
    pub static WPP = "00112233-4455-6677-8899-aabbccddeeff";
    /// All.
    pub flag All;
}

/// Writes a message.
pub fn write() {
    wpp::wpp!(Loud, All, "text");
}
