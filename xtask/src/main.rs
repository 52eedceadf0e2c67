//! Project tasks: what one would write a shell script for, one file per task.
//!
//! Exit codes: 0 done, 1 a check failed or a program that a task ran did, 2 bad input, wrong usage or a missing tool, 3 a
//! Rust toolchain that cannot be had.

#![forbid(unsafe_code)]

mod abi;
mod architecture;
mod bench;
mod bindings;
mod build;
mod c_driver;
mod capture;
mod check;
mod check_image;
mod compile;
mod compile_fail;
mod cross;
mod demo;
mod doc;
mod failure;
mod header_kit;
mod image;
mod import_library;
mod inf;
mod lab;
mod lint;
mod model;
mod output;
mod package;
mod package_install;
mod program;
mod python;
mod repository;
mod rules;
mod sdv;
mod seal;
mod test;
mod tmf;
mod tool;
mod toolchain;
mod trace;
mod wdk_build_patch;
mod wdk_mirror;
mod windows_file;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Project tasks of deferlwf.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Abi(abi::Arguments),
    Bench(bench::Arguments),
    Bindings(bindings::Arguments),
    Build(build::Arguments),
    Capture(capture::Arguments),
    Check(check::Arguments),
    CheckImage(check_image::Arguments),
    CheckInf(inf::Arguments),
    CheckInstall(inf::wine::Arguments),
    CheckPackage(package::check::Arguments),
    CheckTrace(trace::Arguments),
    CheckWindowsFiles(windows_file::Arguments),
    CompileFail(compile_fail::Arguments),
    Demo(demo::Arguments),
    Doc(doc::Arguments),
    Lint(lint::Arguments),
    Models(model::Arguments),
    Package(package::Arguments),
    Rules(rules::Arguments),
    Sdv(sdv::Arguments),
    Test(test::Arguments),
}

fn run(task: &Task) -> Result<()> {
    match task {
        Task::Abi(arguments) => abi::run(arguments),
        Task::Bench(arguments) => bench::run(arguments),
        Task::Bindings(arguments) => bindings::run(arguments),
        Task::Build(arguments) => build::run(arguments),
        Task::Capture(arguments) => capture::run(arguments),
        Task::Check(arguments) => check::run(arguments),
        Task::CheckImage(arguments) => check_image::run(arguments),
        Task::CheckInf(arguments) => inf::run(arguments),
        Task::CheckInstall(arguments) => inf::wine::run(arguments),
        Task::CheckPackage(arguments) => package::check::run(arguments),
        Task::CheckTrace(arguments) => trace::run(arguments),
        Task::CheckWindowsFiles(arguments) => windows_file::run(arguments),
        Task::CompileFail(arguments) => compile_fail::run(arguments),
        Task::Demo(arguments) => demo::run(arguments),
        Task::Doc(arguments) => doc::run(arguments),
        Task::Lint(arguments) => lint::run(arguments),
        Task::Models(arguments) => model::run(arguments),
        Task::Package(arguments) => package::run(arguments),
        Task::Rules(arguments) => rules::run(arguments),
        Task::Sdv(arguments) => sdv::run(arguments),
        Task::Test(arguments) => test::run(arguments),
    }
}

fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => match run(&arguments.task) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure::report(&error),
        },
        Err(answer) => failure::answer(&answer),
    }
}
