//! The drivers in plain C, `tests/drivers/c`: built with clang and lld-link, without Cargo and without a WDK.

mod text;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    architecture::Architecture,
    bindings,
    build::Product,
    compile::Options,
    failure::Failed,
    header_kit::{LLD_LINK, LLVM_DLLTOOL},
    import_library::{ImportTable, Library},
    package_install::{self, Need},
    program,
    repository::{Repository, create_folder, write_if_changed},
    tool,
};

/// A driver in C.
pub(crate) struct CDriver {
    /// How it is built by name.
    pub(crate) name: &'static str,
    /// Its sources below `tests/drivers/c`.
    sources: &'static [&'static str],
    /// Whether the compiler adds `/GS` cookies and control-flow guard.
    is_guarded: bool,
}

/// The filter that keeps the rules.
const FILTER: &[&str] = &[
    "filter.c",
    "queue.c",
    "user.c",
    "irp.c",
    "manager.c",
    "object.c",
    "plain.c",
    "seh.c",
    "library.c",
    "system.c",
    "store.c",
    "security.c",
    "text.c",
    "runtime.c",
    "table.c",
    "kernel.c",
    "memory.c",
    "network.c",
    "provider.c",
];
/// What the guards call.
const GUARD: &str = "guard.s";

/// All of them.
pub(crate) const DRIVERS: &[CDriver] = &[
    CDriver {
        name: "c-filter",
        sources: FILTER,
        is_guarded: false,
    },
    CDriver {
        name: "c-filter-guarded",
        sources: FILTER,
        is_guarded: true,
    },
    CDriver {
        name: "c-faulty",
        sources: &[
            "filter.c",
            "queue.c",
            "user.c",
            "irp.c",
            "fault.c",
            "hang.c",
            "library_fault.c",
        ],
        is_guarded: true,
    },
];

/// What C code imports from the kernel that has no prototype in `abi/`.
const OTHER_IMPORTS: &[&str] = &[
    "ExAcquireSharedStarveExclusive",
    "ExAcquireSharedWaitForExclusive",
    "ExConvertExclusiveToSharedLite",
    "ExCreateCallback",
    "ExEnterCriticalRegionAndAcquireResourceExclusive",
    "ExEnterCriticalRegionAndAcquireResourceShared",
    "ExGetExclusiveWaiterCount",
    "ExGetFirmwareEnvironmentVariable",
    "ExGetSharedWaiterCount",
    "ExIsResourceAcquiredExclusiveLite",
    "ExIsResourceAcquiredSharedLite",
    "ExNotifyCallback",
    "ExRaiseAccessViolation",
    "ExRegisterCallback",
    "ExReinitializeResourceLite",
    "ExReleaseResourceAndLeaveCriticalRegion",
    "ExSetTimerResolution",
    "ExSizeOfRundownProtectionCacheAware",
    "ExTryAcquirePushLockExclusiveEx",
    "ExTryAcquirePushLockSharedEx",
    "ExUnregisterCallback",
    "IoAcquireRemoveLockEx",
    "IoAttachDevice",
    "IoAttachDeviceToDeviceStack",
    "IoAttachDeviceToDeviceStackSafe",
    "IoBuildAsynchronousFsdRequest",
    "IoBuildSynchronousFsdRequest",
    "IoCheckShareAccess",
    "IoCreateNotificationEvent",
    "IoCreateSynchronizationEvent",
    "IoCreateUnprotectedSymbolicLink",
    "IoDetachDevice",
    "IoGetAttachedDeviceReference",
    "IoGetDeviceInterfaces",
    "IoGetDeviceNumaNode",
    "IoGetDeviceProperty",
    "IoGetInitialStack",
    "IoGetRelatedDeviceObject",
    "IoGetRemainingStackSize",
    "IoGetTopLevelIrp",
    "IoInitializeRemoveLockEx",
    "IoInitializeTimer",
    "IoIsOperationSynchronous",
    "IoRegisterDeviceInterface",
    "IoRegisterDriverReinitialization",
    "IoRegisterLastChanceShutdownNotification",
    "IoRegisterPlugPlayNotification",
    "IoReleaseRemoveLockAndWaitEx",
    "IoReleaseRemoveLockEx",
    "IoRemoveShareAccess",
    "IoSetShareAccess",
    "IoSetTopLevelIrp",
    "IoStartTimer",
    "IoStopTimer",
    "IoThreadToProcess",
    "IoUnregisterPlugPlayNotification",
    "IoUnregisterPlugPlayNotificationEx",
    "IoUpdateShareAccess",
    "IoWMIOpenBlock",
    "IoWMIQueryAllData",
    "IoWithinStackLimits",
    "KeDeregisterNmiCallback",
    "KeDeregisterProcessorChangeCallback",
    "KeGetCurrentNodeNumber",
    "KeGetCurrentProcessorIndex",
    "KeGetRecommendedSharedDataAlignment",
    "KeInitializeQueue",
    "KeInsertHeadQueue",
    "KeInsertQueue",
    "KeInvalidateAllCaches",
    "KeQueryActiveProcessors",
    "KeQueryAuxiliaryCounterFrequency",
    "KeQueryHighestNodeNumber",
    "KeQueryLogicalProcessorRelationship",
    "KeQueryNodeActiveAffinity",
    "KeQueryNodeActiveAffinity2",
    "KeQueryNodeActiveProcessorCount",
    "KeQueryNodeMaximumProcessorCount",
    "KeQueryTotalCycleTimeThread",
    "KeReadStateQueue",
    "KeRegisterNmiCallback",
    "KeRegisterProcessorChangeCallback",
    "KeRemoveQueue",
    "KeRundownQueue",
    "KeSetBasePriorityThread",
    "KeStackAttachProcess",
    "KeUnstackDetachProcess",
    "MmAllocateContiguousMemory",
    "MmAllocateContiguousMemorySpecifyCache",
    "MmAllocateMappingAddress",
    "MmAllocateNonCachedMemory",
    "MmCopyMemory",
    "MmFreeContiguousMemory",
    "MmFreeMappingAddress",
    "MmFreeNonCachedMemory",
    "MmIsThisAnNtAsSystem",
    "MmMapLockedPagesWithReservedMapping",
    "MmQuerySystemSize",
    "MmUnmapReservedMapping",
    "NtClose",
    "NtCreateFile",
    "NtReadFile",
    "NtWriteFile",
    "ObQueryNameString",
    "PoRegisterPowerSettingCallback",
    "PoSetPowerState",
    "PoStartNextPowerIrp",
    "PoUnregisterPowerSettingCallback",
    "PsGetCurrentProcess",
    "PsGetProcessSessionId",
    "PsGetThreadProcess",
    "PsGetThreadProcessId",
    "PsLookupProcessByProcessId",
    "PsLookupThreadByThreadId",
    "PsRemoveCreateThreadNotifyRoutine",
    "PsRemoveLoadImageNotifyRoutine",
    "PsSetCreateProcessNotifyRoutine",
    "PsSetCreateProcessNotifyRoutineEx",
    "PsSetCreateThreadNotifyRoutine",
    "PsSetLoadImageNotifyRoutine",
    "RtlCaptureContext",
    "RtlLookupFunctionEntry",
    "RtlRaiseException",
    "RtlVirtualUnwind",
    "ZwClearEvent",
    "ZwCreateSymbolicLinkObject",
    "ZwDuplicateObject",
    "ZwOpenDirectoryObject",
    "ZwOpenSymbolicLinkObject",
    "ZwQuerySymbolicLinkObject",
    "ZwResetEvent",
    "ZwWaitForMultipleObjects",
    "ZwYieldExecution",
    "__C_specific_handler",
    "__chkstk",
    "_local_unwind",
];

/// What it imports from NDIS that has no prototype there.
const OTHER_NDIS_IMPORTS: &[&str] = &[
    "NdisFGetOptionalSwitchHandlers",
    "NdisGetCurrentProcessorCounts",
    "NdisGetCurrentProcessorCpuUsage",
    "NdisGetRssProcessorInformation",
    "NdisGetSystemUpTime",
    "NdisIfAddIfStackEntry",
    "NdisIfAllocateNetLuidIndex",
    "NdisIfDeleteIfStackEntry",
    "NdisIfDeregisterInterface",
    "NdisIfDeregisterProvider",
    "NdisIfFreeNetLuidIndex",
    "NdisIfRegisterInterface",
    "NdisIfRegisterProvider",
];

/// What C code imports from the Windows Filtering Platform, of which nothing is in `abi/`.
const PLATFORM_IMPORTS: &[&str] = &[
    "FwpmBfeStateGet0",
    "FwpmBfeStateSubscribeChanges0",
    "FwpmBfeStateUnsubscribeChanges0",
    "FwpmCalloutAdd0",
    "FwpmCalloutDeleteById0",
    "FwpmEngineClose0",
    "FwpmEngineOpen0",
    "FwpmFilterAdd0",
    "FwpmFilterCreateEnumHandle0",
    "FwpmFilterDeleteById0",
    "FwpmFilterDeleteByKey0",
    "FwpmFilterDestroyEnumHandle0",
    "FwpmFilterEnum0",
    "FwpmFreeMemory0",
    "FwpmProviderAdd0",
    "FwpmProviderContextAdd0",
    "FwpmProviderContextDeleteByKey0",
    "FwpmProviderDeleteByKey0",
    "FwpmTransactionAbort0",
    "FwpmTransactionBegin0",
    "FwpmTransactionCommit0",
    "FwpsCalloutRegister1",
    "FwpsCalloutRegister3",
    "FwpsCalloutUnregisterById0",
    "FwpsCalloutUnregisterByKey0",
    "FwpsFlowAssociateContext0",
    "FwpsFlowRemoveContext0",
    "FwpsRedirectHandleCreate0",
    "FwpsRedirectHandleDestroy0",
];

const NEEDS: &[Need] = &[
    Need {
        what: "clang",
        package: "clang-19",
        is_met: || tool::llvm("clang").is_some(),
    },
    LLD_LINK,
    LLVM_DLLTOOL,
];

/// The C driver of that name.
pub(crate) fn find(name: &str) -> Option<&'static CDriver> {
    DRIVERS.iter().find(|driver| driver.name == name)
}

impl CDriver {
    /// Compiles and links it; image, symbols and map are left in `output`.
    pub(crate) fn build(
        &self,
        repository: &Repository,
        options: &Options,
        output: &Path,
    ) -> Result<Product> {
        if options.arch != Architecture::X64 {
            bail!("`{}` is built for x64 only", self.name);
        }
        package_install::ensure(NEEDS, options.yes)?;
        let common = repository.target_folder().join("cross/c");
        let header = bindings::c_header(repository.root())?;
        write_if_changed(&common.join("include/abi.h"), header)?;
        imports(repository.root())?.write_libraries(&common.join("lib"), options.arch)?;

        let folder = common.join(options.profile()).join(self.name);
        create_folder(&folder)?;
        let mut objects = Vec::new();
        let guard = self.is_guarded.then_some(&GUARD);
        for source in self.sources.iter().chain(guard) {
            objects.push(self.compile(repository, options, &common, &folder, source)?);
        }
        self.link(&common, output, &objects)
    }

    fn compile(
        &self,
        repository: &Repository,
        options: &Options,
        common: &Path,
        folder: &Path,
        source: &str,
    ) -> Result<PathBuf> {
        let root = repository.root();
        let object = folder.join(source).with_extension("obj");
        let mut clang = Command::new(tool::llvm("clang").context("clang not found")?);
        // A `__try` around a plain access to memory is kept with asynchronous exceptions only.
        clang
            .current_dir(root)
            .args(["--target=x86_64-pc-windows-msvc", "-c", "-ffreestanding"])
            .args(["-g", "-gcodeview", "-fms-extensions", "-fasync-exceptions"])
            .arg("-fasynchronous-unwind-tables")
            .args(["-Wall", "-Wextra", "-Werror", "-Wno-microsoft-anon-tag"])
            .arg(if options.release { "-O2" } else { "-O0" })
            .arg(format!("-ffile-prefix-map={}=deferlwf", root.display()))
            .arg(format!(
                "-ffile-prefix-map={}=deferlwf",
                common.join("include").display()
            ))
            .arg("-isystem")
            .arg(common.join("include"));
        if self.is_guarded {
            clang.args(["-fstack-protector-strong", "-Xclang", "-cfguard"]);
        } else {
            clang.arg("-fno-stack-protector");
        }
        if source.ends_with(".s") {
            clang.arg("-Wno-unused-command-line-argument");
        }
        clang
            .arg(Path::new("tests/drivers/c").join(source))
            .arg("-o")
            .arg(&object);
        run(&mut clang)?;
        Ok(object)
    }

    fn link(&self, common: &Path, output: &Path, objects: &[PathBuf]) -> Result<Product> {
        let file = |extension: &str| output.join(format!("{}.{extension}", self.name));
        let product = Product {
            image: file("sys.refused"),
            pdb: file("pdb"),
            map: file("map"),
        };
        let mut linker = Command::new(tool::llvm("lld-link").context("lld-link not found")?);
        linker
            .args([
                "/nologo",
                "/driver:WDM",
                "/subsystem:native",
                "/entry:DriverEntry",
            ])
            .args([
                "/nodefaultlib",
                "/debug",
                "/opt:noicf",
                "/release",
                "/brepro",
            ])
            .args([
                "/section:INIT,ERD",
                "/pdbaltpath:%_PDB%",
                "/pdbsourcepath:.",
            ])
            .arg(format!("/out:{}", product.image.display()))
            .arg(format!("/pdb:{}", product.pdb.display()))
            .arg(format!("/map:{}", product.map.display()))
            .args(objects);
        for library in ["ntoskrnl", "ndis", "fwpkclnt"] {
            linker.arg(common.join("lib").join(format!("{library}.lib")));
        }
        if self.is_guarded {
            linker.arg("/guard:cf");
        }
        run(&mut linker)?;
        Ok(product)
    }
}

/// What a C driver can link to: every function of `abi/`, and the variables of the import table.
fn imports(root: &Path) -> Result<ImportTable> {
    let mut table = ImportTable::read(root)?;
    let [mut kernel, mut ndis] = bindings::functions(root)?;
    let others = OTHER_IMPORTS.iter().chain(text::IMPORTS);
    kernel.extend(others.map(|name| (*name).to_owned()));
    ndis.extend(OTHER_NDIS_IMPORTS.iter().map(|name| (*name).to_owned()));
    let platform = PLATFORM_IMPORTS.iter().map(|name| (*name).to_owned());
    for (name, dll, functions) in [
        ("ntoskrnl", "ntoskrnl.exe", kernel),
        ("ndis", "NDIS.SYS", ndis),
        ("fwpkclnt", "fwpkclnt.sys", platform.collect()),
    ] {
        let data = table
            .libraries
            .iter_mut()
            .find(|library| library.name == name)
            .map_or_else(Vec::new, |library| std::mem::take(&mut library.data));
        let floor = table.floor;
        table.libraries.retain(|library| library.name != name);
        table.libraries.push(Library {
            name: name.to_owned(),
            dll: dll.to_owned(),
            functions: functions.into_iter().map(|name| (name, floor)).collect(),
            data,
        });
    }
    Ok(table)
}

/// Runs a program of LLVM, which shows its own errors.
fn run(command: &mut Command) -> Result<()> {
    if !program::succeeds(command)? {
        let program = command.get_program().display();
        bail!(Failed(format!("{program} failed")));
    }
    Ok(())
}
