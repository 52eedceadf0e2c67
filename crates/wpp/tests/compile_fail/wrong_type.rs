// error[E0277]: a kind takes the types that it is documented to
// says: `u32` is no value for a WPP message's kind `wpp::kind::Str`
// at: sizes.len() as u32

#![no_std]
#![forbid(unsafe_code)]

wpp::control! {
    /// Of this case.
    pub static WPP = "00112233-4455-6677-8899-aabbccddeeff";
    /// All.
    pub flag All;
}

/// Writes a message.
pub fn write(sizes: &[u8]) {
    wpp::wpp!(Error, All, "{size:usize} of {text:str}", sizes.len(), sizes.len() as u32);
}
