//! `lwf-lab imports`: what an image imports, and how much of that the lab has.

use lab_kernel::Support;
use serde::Serialize;

use crate::argument::ImportsArguments;
use crate::error::Error;
use crate::run;
use crate::table::{Align, Table};

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Imports {
    /// File name of the image.
    image: String,
    /// How many are emulated, known without that, and missing.
    counts: Counts,
    /// All, by module and name.
    imports: Vec<Import>,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    emulated: usize,
    known: usize,
    missing: usize,
}

#[derive(Debug, Serialize)]
struct Import {
    module: String,
    name: String,
    /// `emulated`, `known` or `missing`.
    support: &'static str,
    /// Lowest and highest documented level.
    irql: Option<(u8, u8)>,
    /// What the lab would have to have, where it does not emulate it.
    needs: Option<&'static str>,
}

impl Imports {
    /// One line, if the image cannot run.
    pub(crate) fn complaint(&self) -> Option<String> {
        let lacking = self.counts.known + self.counts.missing;
        (lacking > 0).then(|| {
            format!(
                "{}: {lacking} of {} imports are not emulated, so it cannot run",
                self.image,
                self.imports.len()
            )
        })
    }
}

/// Reads the image and looks its imports up.
///
/// # Errors
///
/// When it cannot be read or is no driver image.
pub(crate) fn execute(arguments: &ImportsArguments) -> Result<Imports, Error> {
    let bytes = run::read(&arguments.image)?;
    let image = run::file_name(&arguments.image);
    let found = lab_kernel::imports(&bytes)
        .map_err(|error| Error::bad_input(format!("{}: {error}", arguments.image.display())))?;
    let mut counts = Counts::default();
    let mut imports = Vec::new();
    for import in found {
        let (support, count) = match import.support {
            Support::Emulated => ("emulated", &mut counts.emulated),
            Support::Known => ("known", &mut counts.known),
            Support::Missing => ("missing", &mut counts.missing),
        };
        *count += 1;
        imports.push(Import {
            needs: (import.support != Support::Emulated)
                .then(|| needs(&import.module, &import.name)),
            module: import.module,
            name: import.name,
            support,
            irql: import.irql,
        });
    }
    Ok(Imports {
        image,
        counts,
        imports,
    })
}

/// For people.
pub(crate) fn render(found: &Imports) -> String {
    let Counts {
        emulated,
        known,
        missing,
    } = &found.counts;
    let mut out = format!(
        "{}: {} imports: {emulated} emulated, {known} known and not emulated, {missing} missing\n\n",
        found.image,
        found.imports.len()
    );
    let mut table = Table::new(&[
        ("module", Align::Left),
        ("import", Align::Left),
        ("IRQL", Align::Right),
        ("support", Align::Left),
        ("needs", Align::Left),
    ]);
    for import in &found.imports {
        let irql = match import.irql {
            None => String::new(),
            Some((low, high)) if low == high => low.to_string(),
            Some((low, high)) => format!("{low}-{high}"),
        };
        table.row(vec![
            import.module.clone(),
            import.name.clone(),
            irql,
            import.support.to_owned(),
            import.needs.unwrap_or_default().to_owned(),
        ]);
    }
    table.write(&mut out);
    out
}

/// What a function is about, by the module that exports it.
const BY_MODULE: &[(&str, &str)] = &[
    ("cng.sys", "cryptography"),
    ("fltmgr.sys", "the file-system filter manager"),
    ("fwpkclnt.sys", "the Windows Filtering Platform"),
    ("ks.sys", "kernel streaming"),
    (
        "netio.sys",
        "Winsock Kernel and the network module registrar",
    ),
    ("tdi.sys", "transport drivers"),
    ("wdfldr.sys", "the Windows Driver Framework"),
    ("wmilib.sys", "WMI requests"),
];

/// The same by parts of its name, the first that fits.
const BY_NAME: &[(&[&str], &str)] = &[
    (&["NdisM", "NdisIM"], "a miniport's side of NDIS"),
    (
        &[
            "NdisOpenAdapter",
            "NdisCloseAdapter",
            "NdisRegisterProtocol",
            "NdisDeregisterProtocol",
            "NdisSend",
            "NdisReturn",
            "NdisOidRequest",
        ],
        "a protocol driver's side of NDIS",
    ),
    (&["NdisIf"], "network interfaces"),
    (&["Ndis"], "a further part of NDIS"),
    (&["File", "Directory"], "files"),
    (&["Key", "Registry"], "the registry"),
    (&["Section", "View"], "memory sections"),
    (&["Process", "Ps", "Thread"], "processes and threads"),
    (&["Interrupt", "Hal", "Dma", "Bus", "Port"], "hardware"),
    (&["Io", "Irp"], "devices and requests"),
    (&["Ob", "Handle"], "objects and handles"),
    (&["Se", "Sid", "Acl", "Security", "Token"], "security"),
    (&["Mm", "Memory", "Mdl"], "memory management"),
    (&["Etw", "Wmi", "Trace"], "tracing"),
    (&["Rtl", "_", "str", "wcs", "mem"], "the run-time library"),
    (
        &["Ke", "Ex", "Cc", "Fs", "Po", "Lsa"],
        "a further part of the kernel",
    ),
];

/// What the lab would have to have for an import.
fn needs(module: &str, name: &str) -> &'static str {
    let by_module = BY_MODULE.iter().find(|(known, _)| *known == module);
    if let Some((_, about)) = by_module {
        return about;
    }
    let is_kernel = matches!(module, "ntoskrnl.exe" | "hal.dll" | "ndis.sys");
    let by_name = BY_NAME.iter().find(|(parts, _)| {
        parts.iter().any(|part| match part.len() {
            // Prefixes of the kernel's own; longer words may stand anywhere.
            0..=3 => name.starts_with(part),
            _ => name.contains(part),
        })
    });
    match by_name {
        Some((_, about)) if is_kernel => about,
        None if is_kernel => "a further part of the kernel",
        _ => "a module that the lab does not have",
    }
}
