//! The rooms of the design: what each may depend on, and what holds inside.

use anyhow::{Context, Result};
use cargo_metadata::Package;

use crate::repository::Repository;

/// A package or a folder of packages.
pub(super) struct Room {
    /// Its folder below the repository; with a trailing `/`, every package below it.
    folder: &'static str,
    /// Packages of ours that it may depend on.
    pub(super) ours: &'static [&'static str],
    /// Packages of others that it may depend on.
    pub(super) others: &'static [&'static str],
    /// Whether it may hold unsafe code.
    pub(super) has_unsafe: bool,
    /// Whether it runs in the kernel: no_std, no panic, checked for the Windows target.
    pub(super) kernel: bool,
    /// Whether it compiles for the host.
    pub(super) host: bool,
}

const NOTHING: Room = Room {
    folder: "",
    ours: &[],
    others: &[],
    has_unsafe: false,
    kernel: false,
    host: false,
};

/// The arrows of the design, section 2; there are no others.
const ROOMS: &[Room] = &[
    Room {
        folder: ".",
        ours: &["ndis", "inspect", "protocol", "wpp"],
        others: &["wdk-build"],
        kernel: true,
        ..NOTHING
    },
    Room {
        folder: "crates/inspect",
        kernel: true,
        host: true,
        ..NOTHING
    },
    Room {
        folder: "crates/ndis",
        ours: &["ndis-sys", "wpp"],
        // `loom` for models of tests.
        others: &["loom", "wdk", "wdk-alloc", "wdk-panic", "wdk-sys"],
        has_unsafe: true,
        kernel: true,
        host: true,
    },
    Room {
        folder: "crates/ndis-sys",
        others: &["wdk-sys"],
        has_unsafe: true,
        kernel: true,
        host: true,
        ..NOTHING
    },
    Room {
        folder: "crates/protocol",
        kernel: true,
        host: true,
        ..NOTHING
    },
    Room {
        folder: "crates/wpp",
        ours: &["wpp-macros"],
        has_unsafe: true,
        kernel: true,
        host: true,
        ..NOTHING
    },
    // Beside the compiler: what the macro and the build know of messages.
    Room {
        folder: "crates/wpp-format",
        others: &["sha1"],
        host: true,
        ..NOTHING
    },
    Room {
        folder: "crates/wpp-macros",
        ours: &["wpp-format"],
        host: true,
        ..NOTHING
    },
    Room {
        folder: "examples/",
        ours: &["ndis", "wpp"],
        others: &["wdk-build"],
        kernel: true,
        ..NOTHING
    },
    // A workspace of its own, for cargo-fuzz.
    Room {
        folder: "fuzz",
        ours: &["inspect", "protocol", "lab-pe", "lab-net"],
        others: &["libfuzzer-sys"],
        ..NOTHING
    },
    Room {
        folder: "lab/cli",
        ours: &["lab-kernel", "lab-rules", "lab-net", "protocol"],
        others: &["anyhow", "clap", "indicatif", "serde", "serde_json", "toml"],
        host: true,
        ..NOTHING
    },
    Room {
        folder: "lab/kernel",
        ours: &["lab-pe", "lab-rules"],
        others: &[
            "blake3",
            "corosensei",
            "iced-x86",
            "libc",
            "pdb-addr2line",
            "thiserror",
        ],
        has_unsafe: true,
        host: true,
        ..NOTHING
    },
    Room {
        folder: "lab/net",
        others: &["pcap-parser", "thiserror"],
        host: true,
        ..NOTHING
    },
    Room {
        folder: "lab/pe",
        others: &["thiserror"],
        host: true,
        ..NOTHING
    },
    Room {
        folder: "lab/rules",
        host: true,
        ..NOTHING
    },
    Room {
        folder: "tests",
        ours: &["lab-cli"],
        others: &["serde", "serde_json"],
        host: true,
        ..NOTHING
    },
    Room {
        folder: "tests/drivers/",
        others: &["wdk-build"],
        has_unsafe: true,
        kernel: true,
        ..NOTHING
    },
    Room {
        folder: "xtask",
        ours: &["wpp-format"],
        others: &[
            "anyhow",
            "blake3",
            "cargo_metadata",
            "clap",
            "der",
            "iced-x86",
            "object",
            "serde",
            "serde_json",
            "sha1",
            "sha2",
            "toml_edit",
        ],
        host: true,
        ..NOTHING
    },
];

/// The room that `package` is in.
pub(super) fn of(package: &Package, repository: &Repository) -> Result<&'static Room> {
    in_folder(&repository.folder_of(package)).with_context(|| {
        format!(
            "package `{}` is in no room of xtask/src/lint/room.rs",
            package.name
        )
    })
}

/// The room of a folder below the repository, which is empty for the root.
pub(super) fn in_folder(folder: &str) -> Option<&'static Room> {
    find(if folder.is_empty() { "." } else { folder })
}

fn find(folder: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.folder == folder).or_else(|| {
        ROOMS
            .iter()
            .find(|room| room.folder.ends_with('/') && folder.starts_with(room.folder))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_packages_is_one_room() {
        assert!(find("tests/drivers/faulty").is_some_and(|room| room.has_unsafe));
        assert!(find("tests").is_some_and(|room| !room.has_unsafe));
        assert!(find("elsewhere").is_none());
    }
}
