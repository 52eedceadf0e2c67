//! What plain `cargo test` finds in the driver package: the driver's tests run its image in the lab.

fn main() -> std::process::ExitCode {
    eprintln!("error: the driver has no tests of its own: run `cargo xtask test` instead");
    std::process::ExitCode::FAILURE
}
