//! Setting up a build on a host other than Windows.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

pub(crate) use crate::header_kit::require_tools;
use crate::{
    architecture::Architecture, compile::Site, header_kit, import_library::ImportTable,
    repository::Repository, tool, toolchain::Toolchain, workspace::Workspace,
};

/// The symbol of `load_config.s` that stands in for what unreachable code refers to.
const UNREACHABLE: &str = "deferlwf_unreachable";

/// Lays out workspace and kit below the target folder.
pub(crate) fn site(
    repository: &Repository,
    toolchain: &Toolchain,
    architecture: Architecture,
) -> Result<Site> {
    let cross = repository.target_folder().join("cross");
    let workspace = Workspace::prepare(repository, &cross)?;
    let table = ImportTable::read(repository.root())?;
    let wdk = wdk_content_root()?;
    let kit = header_kit::prepare(&cross, wdk.as_deref(), &table, architecture)?;
    let linker = tool::llvm("lld-link").context("lld-link not found")?;
    let target = architecture.target().to_uppercase().replace('-', "_");
    let mut environment: Vec<(OsString, OsString)> = kit
        .environment
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect();
    environment.push((
        format!("CARGO_TARGET_{target}_LINKER").into(),
        linker.into(),
    ));
    Ok(Site {
        root: workspace.root().to_path_buf(),
        target_folder: workspace.target_folder(),
        environment,
        rust_flags: rust_flags(&cross, toolchain)?,
        workspace: Some(workspace),
    })
}

/// The WDK that the user has pointed at.
fn wdk_content_root() -> Result<Option<PathBuf>> {
    let Some(path) = env::var_os("WDKContentRoot")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
    else {
        return Ok(None);
    };
    if !path.join("Include").is_dir() {
        bail!("WDKContentRoot: {} has no folder Include", path.display());
    }
    Ok(Some(path))
}

fn rust_flags(cross: &Path, toolchain: &Toolchain) -> Result<Vec<String>> {
    // `alloc` without what aborts when memory runs out: `Box::new`, `Vec::push`, `format!` do not exist.
    let mut flags = vec!["--cfg=no_global_oom_handling".to_owned()];
    // What unreachable code refers to: the glue of the handler that `alloc` now lacks, and the floating-point functions
    // of a C library that unoptimised compiler-builtins knows. The linker drops all of it; check-image looks whether the
    // stand-in was dropped as well.
    let handler = toolchain.internal_symbol("__rdl_alloc_error_handler", cross)?;
    for name in [handler.as_str(), "fma", "fmaf"] {
        flags.push(format!("-Clink-arg=/ALTERNATENAME:{name}={UNREACHABLE}"));
    }
    Ok(flags)
}
