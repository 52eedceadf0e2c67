// error: each value of a text is given
// says: the text has 2 values, and 1 are given

#![no_std]
#![forbid(unsafe_code)]

wpp::control! {
    /// Of this case.
    pub static WPP = "00112233-4455-6677-8899-aabbccddeeff";
    /// All.
    pub flag All;
}

/// Writes a message.
pub fn write(count: u32) {
    wpp::wpp!(Error, All, "{one:u32} of {all:u32}", count);
}
