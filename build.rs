//! Build script of every driver package: wdk-build's binary configuration and the linker's inputs.

#[cfg(any(windows, feature = "cross"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    wdk_build::configure_wdk_binary_build()?;

    // rustc exports every `#[no_mangle]` symbol of every crate by a definition file of its own; the last one counts, and
    // the entry needs no export.
    let definition = std::path::Path::new(&std::env::var("OUT_DIR")?).join("exports.def");
    std::fs::write(&definition, "EXPORTS\n")?;
    for argument in [
        format!("/DEF:{}", definition.display()),
        "/DRIVER:WDM".to_owned(),
        "/RELEASE".to_owned(), // puts the checksum in
        "/BREPRO".to_owned(),
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    Ok(())
}

#[cfg(not(any(windows, feature = "cross")))]
fn main() {
    println!(
        "cargo::error=plain Cargo builds drivers on Windows only: run `cargo xtask build`, or `cargo xtask test`, instead"
    );
}
