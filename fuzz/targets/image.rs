//! Driver images: whatever the bytes, there is a plan inside its own bounds, or one line that says why not.

#![no_main]

use lab_pe::Image;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let image = match Image::parse(input) {
        Ok(image) => image,
        Err(error) => {
            assert!(!error.to_string().contains('\n'));
            return;
        }
    };
    let size = image.size_bytes();
    assert!(size.is_multiple_of(lab_pe::PAGE_BYTES as usize));
    assert!(image.section_at(image.entry_rva).is_some());
    for rva in &image.relocations {
        assert!(*rva as usize + 8 <= size);
    }
    for function in &image.functions {
        assert!(function.begin_rva < function.end_rva && function.end_rva as usize <= size);
        let _ = image.unwind_info(function.unwind_rva);
    }
});
