// error: the text is written out
// says: write wpp!(Level, Flag, "text {name:kind}", value, …)

#![no_std]
#![forbid(unsafe_code)]

wpp::control! {
    /// Of this case.
    pub static WPP = "00112233-4455-6677-8899-aabbccddeeff";
    /// All.
    pub flag All;
}

/// Writes a message.
pub fn write(text: &str) {
    wpp::wpp!(Error, All, text);
}
