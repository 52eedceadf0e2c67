//! The `lwf-lab` program.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    lab_cli::command::main()
}
