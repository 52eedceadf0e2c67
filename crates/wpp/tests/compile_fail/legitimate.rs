// compiles: what is documented

#![no_std]
#![forbid(unsafe_code)]

wpp::control! {
    /// Of this case.
    pub static WPP = "00112233-4455-6677-8899-aabbccddeeff";
    /// All.
    pub flag All;
}

/// Writes a message.
pub fn write(count: u32, text: &str) {
    wpp::wpp!(Error, All, "{FUNC} {count:u32} {text:str}", count, text);
}
