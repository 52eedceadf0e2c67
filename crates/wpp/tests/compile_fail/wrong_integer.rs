// error[E0277]: a kind takes one type of integer
// says: `u64` is no value for a WPP message's kind `U32`
// at: count

#![no_std]
#![forbid(unsafe_code)]

wpp::control! {
    /// Of this case.
    pub static WPP = "00112233-4455-6677-8899-aabbccddeeff";
    /// All.
    pub flag All;
}

/// Writes a message.
pub fn write(count: u64) {
    wpp::wpp!(Error, All, "count {count:u32}", count);
}
