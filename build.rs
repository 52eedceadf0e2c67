//! Build script of every driver package: wdk-build's binary configuration and the linker's inputs.

#[cfg(any(windows, feature = "cross"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    wdk_build::configure_wdk_binary_build()?;

    // rustc exports every `#[no_mangle]` symbol of every crate by a definition file of its own; the last one counts, and
    // the entry needs no export.
    let definition = std::path::Path::new(&std::env::var("OUT_DIR")?).join("exports.def");
    std::fs::write(&definition, "EXPORTS\n")?;
    println!("cargo::rustc-cdylib-link-arg=/DEF:{}", definition.display());
    println!("cargo::rustc-cdylib-link-arg=/DRIVER:WDM");
    println!("cargo::rustc-cdylib-link-arg=/RELEASE"); // puts the checksum in
    println!("cargo::rustc-cdylib-link-arg=/BREPRO");
    Ok(())
}

#[cfg(not(any(windows, feature = "cross")))]
fn main() {
    println!(
        "cargo::error=plain Cargo builds drivers on Windows only: run `cargo xtask build`, or `cargo xtask test`, instead"
    );
}
