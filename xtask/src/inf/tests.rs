//! The driver's INF keeps every rule, and each rule has an INF that breaks it.

use std::{collections::BTreeSet, fs, path::Path};

use super::{Driver, TEMPLATE, check, rule, stamp};
use crate::{architecture::Architecture, import_library::ImportTable};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn template() -> String {
    fs::read_to_string(root().join(TEMPLATE)).expect("the template")
}

fn names(text: &str, is_template: bool) -> BTreeSet<&'static str> {
    let driver = Driver::read(root()).expect("the driver's source");
    let floor = ImportTable::read(root()).expect("the import table").floor;
    let findings = check(text, Some(&driver), is_template, floor);
    findings.iter().map(|(rule, _)| rule.name).collect()
}

/// Rule, text of the template, what stands in its place: the rule, and only that one, is broken.
#[rustfmt::skip]
const BROKEN: &[(&str, &str, &str)] = &[
    ("inf-syntax", "[Version]", "[Version"),
    ("inf-signature", "$Windows NT$", "$Windows 95$"),
    ("inf-class", "= NetService", "= NetTrans"),
    ("inf-class", "{4D36E974-", "{4D36E975-"),
    ("inf-provider", "\"deferlwf contributors\"", "\"Microsoft\""),
    ("inf-pnplockdown", "PnpLockdown = 1", "PnpLockdown = 0"),
    ("inf-catalog", "CatalogFile = deferlwf.cat\n", ""),
    ("inf-catalog", "deferlwf.sys = 1", "deferlwf.sys = 1\ndeferlwf.cat = 1"),
    ("inf-driverver", "DriverVer   =", "DriverVer = 2026-01-02,1.0.0.0"),
    ("inf-driverver", "DriverVer   =", "DriverVer = 01/02/2026,0.0.0.0"),
    ("inf-section-missing", "Models, NT$ARCH$.10.0...19041", "Models, NT$ARCH$.10.0...19042, NT$ARCH$.10.0...19041"),
    ("inf-section-unused", "[SourceDisksNames]", "[Nobody]\nx = y\n[SourceDisksNames]"),
    ("inf-string-missing", "Description    = %Description%\nServiceType    = 1 ; SERVICE_KERNEL_DRIVER\nStartType      = 1 ; SERVICE_SYSTEM_START, see Ndi_AddReg\nErrorControl   = 1 ; SERVICE_ERROR_NORMAL\nServiceBinary  = %13%", "Description = %Nothing%\nServiceType    = 1\nStartType      = 1\nErrorControl   = 1\nServiceBinary  = %13%"),
    ("inf-string-unused", "[Strings]", "[Strings]\nSpare = \"x\""),
    ("inf-models", "[Manufacturer]", "[Other.NTx86.10.0...19041]\n\n[Manufacturer]\n%Description% = Other, NTx86.10.0...19041"),
    ("inf-component-id", "deferlwf_filter", "ms_filter"),
    ("inf-component-id", "deferlwf_filter", "deferlwf"),
    ("inf-driver-store-copy", "[Store_CopyFiles]\ndeferlwf.sys", "[Store_CopyFiles]\nother.sys, deferlwf.sys\ndeferlwf.sys"),
    ("inf-source-files", "deferlwf.sys = 1", "deferlwf.sys = 2"),
    ("inf-additive", "[Install_Drivers]", "[Install_Drivers]\nDelReg = Ndi_AddReg"),
    ("inf-additive", "[Install_Drivers.Services]", "[Install_Drivers.Services]\nDelService = old"),
    ("inf-characteristics", "0x40000 ;", "0x40400 ;"),
    ("inf-characteristics", "0x40000 ;", "0x4 ;"),
    ("inf-netcfginstanceid", "{cdb9a2c8-", "{cdb9a2c9-"),
    ("inf-netcfginstanceid", "\"{cdb9a2c8-4f0c-4b5f-8d67-5f3b8b2d7e11}\"", "\"cdb9a2c8\""),
    ("inf-filtertype", "FilterType, 0x00010001, 2", "FilterType, 0x00010001, 3"),
    ("inf-filterruntype", "FilterRunType, 0x00010001, 2", "FilterRunType, 0x00010001, 0"),
    ("inf-filterclass", "\"diagnostic\"", "\"diagnostics\""),
    ("inf-filterclass", "FilterType, 0x00010001, 2", "FilterType, 0x00010001, 1"),
    ("inf-ranges", "\"noupper\"", "\"ndis5\""),
    ("inf-ranges", "\"nolower\"", "\"ethernet\""),
    ("inf-mediatypes", "\"ethernet, wlan\"", "\"ethernet, nolower\""),
    ("inf-helptext", "HKR, Ndi, HelpText,", "HKR, Ndi, HelpLine,"),
    ("inf-ndi-types", "CoServices, 0x00010000", "CoServices, 0x00000000"),
    ("inf-service-names", "Service,    0x00000000, \"deferlwf\"", "Service,    0x00000000, \"other\""),
    ("inf-service-names", "CoServices, 0x00010000, \"deferlwf\"", "CoServices, 0x00010000, \"other\""),
    ("inf-service-type", "LoadOrderGroup = NDIS", "LoadOrderGroup = Network"),
    ("inf-service-type", "ServiceType    = 1", "ServiceType    = 2"),
    ("inf-service-binary", "%13%\\deferlwf.sys", "\\SystemRoot\\deferlwf.sys"),
    ("inf-service-binary", "%12%\\deferlwf.sys", "%13%\\deferlwf.sys"),
    ("inf-optional-demand-start", "StartType      = 1", "StartType      = 3"),
    ("inf-remove", "DelService = deferlwf, 0x200", "DelService = deferlwf"),
    ("inf-only-hkr", "HKR, Ndi, HelpText", "HKLM, Software\\deferlwf, x,, 1\nHKR, Ndi, HelpText"),
    ("inf-service-params", "HKR, Parameters, NdisIm", "HKR, , x, 0x00010001, 0\nHKR, Parameters, NdisIm"),
    ("inf-team-binding", "BindingOptions, 0x00010001, 0", "BindingOptions, 0x00010001, 4"),
    ("inf-parameter", "%SnapLen%\n", "%SnapLen%\nHKR, Parameters\\FilterAdapterParams\\SnapLen, type, 0, \"dwords\"\n;"),
    ("inf-instance-parameter", "HKR, Parameters, NdisIm", "HKR, Parameters\\FilterInstanceParams\\x, type, 0, int\nHKR, Parameters, NdisIm"),
    ("inf-parameter", "optional,  0x00000000, \"1\"", "optional,  0x00000000, \"0\""),
    ("inf-parameter-driver", "FilterAdapterParams\\Block, ", "FilterAdapterParams\\Blocked, "),
    ("inf-parameter-driver", "Parameters\\FilterDriverParams", "Parameters\\FilterAdapterParams"),
    ("inf-parameter-driver", "Parameters\\FilterAdapterParams\\HoldLimit, ", "Parameters\\FilterDriverParams\\HoldLimit, "),
    ("inf-parameter-driver", "max,       0x00000000, \"2048\"", "max,       0x00000000, \"2000\""),
    ("inf-catalog", "= deferlwf.cat", "= other.cat"),
    ("inf-catalog", "= deferlwf.cat", "= sub\\deferlwf.cat"),
    ("inf-catalog", "= deferlwf.cat", "= deferlwf.cat\nCatalogFile.NTamd64 = other.cat"),
    ("inf-section-missing", "AddService = deferlwf,, Service_Store", "AddService = deferlwf,, Service_Store, Log"),
    ("inf-section-missing", "[Install_Store]", "[Install_Store]\nNeeds = Nobody"),
    ("inf-section-missing", "[Install_Store.Services]", "[Install_Store.Services]\nNeeds = Nobody.Services"),
    ("inf-section-twice", "[Strings]", "[Strings]\n[Strings]"),
    ("inf-destination", "Store_CopyFiles   = 13", "Store_CopyFiles   = 13\nNobody = 13"),
    ("inf-destination", "Store_CopyFiles   = 13", "Store_CopyFiles   = 13\nInstall_Store = 13"),
    ("inf-directive", "[Install_Store]", "[Install_Store]\nExcludeFromSelect = x"),
    ("inf-directive", "PnpLockdown = 1", "PnpLockdown = 1\nLayoutFile = x"),
    ("inf-directive", "[Install_Store.Remove.Services]", "[Install_Store.Remove]\nx = y\n[Install_Store.Remove.Services]"),
    ("inf-reboot", "[Install_Store]", "[Install_Store]\nReboot"),
    ("inf-service-security", "LoadOrderGroup = NDIS", "LoadOrderGroup = NDIS\nSecurity = \"D:(A;;GA;;;WD)\""),
    ("inf-entry-twice", "[Strings]", "[Strings]\nMode = \"x\""),
    ("inf-entry-twice", "PnpLockdown = 1", "PnpLockdown = 1\nClass = NetTrans"),
    ("inf-entry-twice", "LoadOrderGroup = NDIS", "LoadOrderGroup = NDIS\nStartType = 3"),
    ("inf-entry-twice", "FilterRunType, 0x00010001, 2", "FilterRunType, 0x00010001, 2\nHKR, Ndi, FilterRunType, 0x00010001, 1"),
    ("inf-optional", "FilterRunType, 0x00010001, 2", "FilterRunType, 0x00010001, 1"),
    ("inf-ndi-choice", "HKR, Ndi, HelpText,", "HKR, Ndi, NdisBootStart, 0x00010001, 2\nHKR, Ndi, HelpText,"),
    ("inf-ndi-choice", "HKR, Ndi, HelpText,", "HKR, Ndi, UnbindOnAttach, 0x00010001, 2\nHKR, Ndi, HelpText,"),
    ("inf-ndi-choice", "HKR, Ndi, HelpText,", "HKR, Ndi, UnbindOnDetach, 0x00010001, x\nHKR, Ndi, HelpText,"),
    ("inf-ndi-types", "HKR, Ndi, HelpText,", "HKR, Ndi, UnbindOnDetach,, 1\nHKR, Ndi, HelpText,"),
    ("inf-service-flags", "deferlwf,, Service_Store", "deferlwf, 2, Service_Store"),
    ("inf-service-flags", "deferlwf,, Service_Store", "deferlwf, 0x1, Service_Store"),
    ("inf-service-flags", "deferlwf,, Service_Store", "deferlwf, 0x400, Service_Store"),
    ("inf-service-flags", "deferlwf,, Service_Store", "deferlwf, 0x10000, Service_Store"),
    ("inf-service-flags", "deferlwf,, Service_Store", "deferlwf, x, Service_Store"),
    ("inf-fields", "PnpLockdown = 1", "PnpLockdown = 1, 2"),
    ("inf-fields", "Characteristics  = 0x40000", "Characteristics  = 0x40000, 1"),
    ("inf-fields", "StartType      = 1 ;", "StartType      = 1, 3 ;"),
    ("inf-fields", "[Strings]", "[Strings]\nnothing"),
    ("inf-fields", "[SourceDisksNames]", "[SourceDisksNames]\nReboot"),
    ("inf-fields", "Install_Store, deferlwf_filter", "Install_Store, deferlwf_filter, more"),
    ("inf-fields", "FilterType, 0x00010001, 2", "FilterType, 0x00010001, 2, 3"),
    ("inf-fields", "deferlwf, 0x200", "deferlwf, 0x200, a, b, c"),
    ("inf-same-line-twice", "AddService = deferlwf,, Service_Store", "AddService = deferlwf,, Service_Store\nAddService = deferlwf,, Service_Store"),
    ("inf-same-line-twice", "%Description% = Install_Store, deferlwf_filter", "%Description% = Install_Store, deferlwf_filter\n%Description% = Install_Store, deferlwf_filter"),
    ("inf-same-line-twice", "deferlwf.sys,,, 0x2", "deferlwf.sys,,, 0x2\ndeferlwf.sys,,, 0x2"),
    ("inf-copy-flags", "deferlwf.sys,,, 0x2", "deferlwf.sys,,, x"),
    ("inf-listed-not-copied", "deferlwf.sys = 1", "deferlwf.sys = 1\nspare.dll = 1"),
    ("inf-service-binary", "Store_CopyFiles   = 13", "Store_CopyFiles   = 13, sub"),
    ("inf-characteristics", "0x40000 ;", "0x40001 ;"),
    ("inf-characteristics", "0x40000 ;", "0x40010 ;"),
    ("inf-mediatypes", "\"ethernet, wlan\"", "\"wlan\""),
    ("inf-remove", "DelService = deferlwf, 0x200", "DelService = deferlwf, 0x200\nDelService = Tcpip, 0x200"),
    ("inf-catalog", "CatalogFile = deferlwf.cat", "CatalogFile.NTx86 = deferlwf.cat"),
    ("inf-models", "$ARCH$.10.0...25319", "$ARCH$.10.1...25319"),
    ("inf-models", "$ARCH$.10.0...25319", "$ARCH$.x.0...25319"),
    ("inf-models", "$ARCH$.10.0...25319", "$ARCH$.10.0...25319.1"),
    ("inf-component-id", "Install_Store, deferlwf_filter", "Install_Store, deferlwf_other"),
    ("inf-driverver", "DriverVer   =", "DriverVer = 02/31/2026,1.0.0.0"),
    ("inf-driverver", "DriverVer   =", "DriverVer = 02/01/2026,+1.0.0.0"),
    ("inf-copy-flags", "deferlwf.sys,,, 0x2", "deferlwf.sys,, x, 0x2"),
    ("inf-parameter", "%SnapLen%\n", "%SnapLen%\nHKR, Parameters\\FilterAdapterParams\\SnapLen, steps, 0, \"1\"\n"),
    ("inf-parameter", "Params\\Block,          type,      0x00000000, \"edit\"", "Params\\Block,          type,      0x00000000, \"edit\"\nHKR, Parameters\\X\\FilterAdapterParams\\Block, ParamDesc, 0, x"),
    ("inf-parameter", "MaxMemoryMiB,    type,      0x00000000, \"dword\"", "MaxMemoryMiB,    type,      0x00000000, \"word\""),
    ("inf-parameter", "SnapLen,        type,      0x00000000, \"dword\"", "SnapLen,        type,      0x00000000, \"enum\""),
    ("inf-parameter-type", "default,   0x00000000, \"256\"", "default,   0x00010001, 256"),
    // These break other rules as well: a section that goes leaves those that it named unused.
    ("inf-monitoring-not-mandatory", "FilterType, 0x00010001, 2\n", "FilterType, 0x00010001, 1\nHKR, Ndi, FilterRunType, 0x00010001, 1\n"),
    ("inf-ndi-choice", "FilterRunType, 0x00010001, 2", "FilterRunType, 0x00010001, 1\nHKR, Ndi, NdisBootStart, 0x00010001, 0"),
    ("inf-directive", "[Install_Store]", "[Install_Store]\nNeeds = Also\n[Also]\nx = y\n[Install_Store]"),
    ("inf-source-files", "deferlwf.sys = 1", "other.sys = 1"),
    ("inf-section-required", "[DestinationDirs]", "[Destinations]"),
    ("inf-os-floor", "NT$ARCH$.10.0...19041", "NT$ARCH$.10.0...17763"),
    ("inf-build-25319", ", NT$ARCH$.10.0...25319", ""),
    ("inf-build-25319", "Drivers_CopyFiles = 12", "Drivers_CopyFiles = 13"),
    ("inf-dirid13", "Store_CopyFiles   = 13", "Store_CopyFiles   = 10"),
];

/// How many entries at the end of `BROKEN` break other rules as well.
const BREAKING_MORE: usize = 9;

#[test]
fn the_template_and_what_is_made_of_it_keep_every_rule() {
    assert_eq!(names(&template(), true), BTreeSet::new());
    for architecture in [Architecture::X64, Architecture::Arm64] {
        assert_eq!(names(&stamped(architecture), false), BTreeSet::new());
    }
}

fn stamped(architecture: Architecture) -> String {
    let stamp = stamp::Stamp {
        architecture,
        date: "11/29/2026".to_owned(),
        version: "0.1.0.0".to_owned(),
    };
    stamp::stamp(&template(), &stamp).expect("a template")
}

#[test]
fn each_broken_example_breaks_its_rule_and_no_other() {
    let good = template();
    let mut wrong = Vec::new();
    for (index, (rule, text, instead)) in BROKEN.iter().enumerate() {
        assert!(good.contains(text), "{rule}: the template has no {text}");
        let found = names(&good.replace(text, instead), true);
        let breaks_more = index + BREAKING_MORE >= BROKEN.len();
        if !found.contains(rule) || found.len() > 1 && !breaks_more {
            wrong.push((text, instead, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The scripts ask for the component by its id.
#[test]
fn the_scripts_know_the_component() {
    let module = root().join("scripts/deferlwf.psm1");
    let module = fs::read_to_string(module).expect("the module");
    let ids = super::component_ids(&template()).expect("an INF");
    assert_eq!(ids.len(), 1);
    assert!(module.contains(&format!("$ComponentId = '{}'", ids[0])));
}

#[test]
fn text_that_windows_reads_otherwise_is_refused() {
    assert_eq!(super::decode(b"[A]").expect("ASCII"), "[A]");
    for bytes in [&b"[A]\0"[..], b"[\xE4]", b"\xFF\xFE\x00\xD8"] {
        assert!(super::decode(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_token_that_is_left_is_found() {
    let text = stamped(Architecture::X64).replace("NTamd64", "NT$ARCH$");
    assert!(names(&text, false).contains("inf-arch-token"));
}

#[test]
fn every_rule_has_a_broken_example() {
    let broken: BTreeSet<_> = BROKEN.iter().map(|(rule, ..)| *rule).collect();
    for rule in rule::all().filter(|rule| rule.name != "inf-arch-token") {
        assert!(broken.contains(rule.name), "{}", rule.name);
    }
}
