// error: what is wrong with one message is not wrong with another
// says: `u7` is no kind of value
// at: "bad {count:u7}"

#![no_std]
#![forbid(unsafe_code)]

wpp::control! {
    /// Of this case.
    pub static WPP = "00112233-4455-6677-8899-aabbccddeeff";
    /// All.
    pub flag All;
}

/// Writes a good message, a bad one, and a good one.
pub fn write(count: u32) {
    wpp::wpp!(Error, All, "good {count:u32}", count);
    wpp::wpp!(Error, All, "bad {count:u7}", count);
    wpp::wpp!(Error, All, "good too");
}
