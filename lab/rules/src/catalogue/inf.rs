//! INF and installation.

super::rules! {
    INF:
    INF_CLASS = "inf-class": Style Must,
        name None, stop None, page "network/installation-requirements-for-network-filter-drivers.md",
        "Version has Class=NetService and ClassGuid {4D36E974-E325-11CE-BFC1-08002BE10318}.";
    INF_SIGNATURE = "inf-signature": Style Must,
        name "InfVerif 1001", stop None, page "network/version-section-in-a-network-inf-file.md",
        "Signature is $Windows NT$.";
    INF_CHARACTERISTICS = "inf-characteristics": Style Must,
        name None, stop None, page "network/configuring-an-inf-file-for-a-modifying-filter-driver.md",
        "Characteristics contains 0x40000 (NCF_LW_FILTER) and not 0x400 (NCF_FILTER).";
    INF_NETCFGINSTANCEID = "inf-netcfginstanceid": BugCheck Must,
        name None, stop None, page "network/configuring-an-inf-file-for-a-modifying-filter-driver.md",
        "NetCfgInstanceId is present and equals UniqueName.";
    INF_FILTERTYPE = "inf-filtertype": Style Must,
        name None, stop None, page "network/types-of-filter-drivers.md",
        "Ndi\\FilterType is DWORD 1 (monitoring) or 2 (modifying).";
    INF_FILTERRUNTYPE = "inf-filterruntype": Style Must,
        name None, stop None, page "network/mandatory-filter-drivers.md",
        "Ndi\\FilterRunType is DWORD 1 (mandatory) or 2 (optional).";
    INF_FILTERCLASS = "inf-filterclass": Style Must,
        name None, stop None, page "network/configuring-an-inf-file-for-a-modifying-filter-driver.md",
        "A modifying filter defines FilterClass with a listed value; a monitoring filter does not define it.";
    INF_RANGES = "inf-ranges": Style Must,
        name None, stop None, page "network/specifying-filter-driver-binding-relationships.md",
        "UpperRange is noupper and LowerRange is nolower.";
    INF_MEDIATYPES = "inf-mediatypes": Style Must,
        name None, stop None, page "network/specifying-binding-interfaces.md",
        "FilterMediaTypes is present, uses listed values and does not contain nolower.";
    INF_SERVICE_NAMES = "inf-service-names": BugCheck Must,
        name None, stop None, page "network/adding-service-related-values-to-the-ndi-key.md",
        "Ndi\\Service, CoServices (multi-string, contains it), AddService name and registration ServiceName agree.";
    INF_SERVICE_TYPE = "inf-service-type": Style Should,
        name None, stop None, page "network/configuring-an-inf-file-for-a-modifying-filter-driver.md",
        "ServiceType 1, ErrorControl 1, LoadOrderGroup NDIS, StartType normally 1 (3 only for optional filters).";
    INF_SERVICE_BINARY = "inf-service-binary": Style Must,
        name "InfVerif 2085", stop None, page "devtest/inf-validation-errors-and-warnings.md",
        "ServiceBinary is a path under a DIRID.";
    INF_DIRID13 = "inf-dirid13": Style Must,
        name "InfVerif 1322, 1100", stop None, page "develop/run-from-driver-store.md",
        "Files go to DIRID 13 without renaming and with matching subdirectory (for OS builds that support it).";
    INF_BUILD_25319 = "inf-build-25319": Style Should,
        name None, stop None, page "network/ndis-filter-driver-installation.md",
        "A package that supports builds below 25319 offers a Models section that does not use the driver store.";
    INF_PNPLOCKDOWN = "inf-pnplockdown": Style Should,
        name "InfVerif 1324", stop None, page "install/inf-version-section.md",
        "PnpLockdown=1.";
    INF_CATALOG = "inf-catalog": Style Should,
        name "InfVerif 1213", stop None, page "install/inf-version-section.md",
        "CatalogFile is declared in Version and not listed in SourceDisksFiles.";
    INF_PROVIDER = "inf-provider": Style Must,
        name "InfVerif 1204", stop None, page "devtest/inf-validation-errors-and-warnings.md",
        "Provider is set and is not Microsoft.";
    INF_SERVICE_PARAMS = "inf-service-params": Style Must,
        name "InfVerif 1323", stop None, page "network/configuring-an-inf-file-for-a-modifying-filter-driver.md",
        "Service-relative HKR values are under the Parameters subkey.";
    INF_ONLY_HKR = "inf-only-hkr": Style Must,
        name "InfVerif 1304", stop None, page "develop/driver-isolation.md",
        "Registry writes use HKR only.";
    INF_ADDITIVE = "inf-additive": Style Must,
        name "InfVerif 1308/1309", stop None, page "install/using-a-universal-inf-file.md",
        "No DelReg, DelFiles, DelService, co-installers or other forbidden directives in a universal package.";
    INF_ARCH_TOKEN = "inf-arch-token": Style Must,
        name "InfVerif 1274", stop None, page "devtest/inf-validation-errors-and-warnings.md",
        "$ARCH$ tokens are resolved by stampinf.";
    INF_MONITORING_NOT_MANDATORY = "inf-monitoring-not-mandatory": Style Should,
        name None, stop None, page "network/configuring-an-inf-file-for-a-monitoring-filter-driver.md",
        "A monitoring filter is not mandatory.";
    INF_OPTIONAL_DEMAND_START = "inf-optional-demand-start": Style Should,
        name None, stop None, page "learn KB 2019184",
        "An optional filter that is installed is started at boot or declares NdisBootStart 0; otherwise networking is delayed up to 90 s.";
    INF_HELPTEXT = "inf-helptext": Style Should,
        name None, stop None, page "network/adding-a-helptext-value.md",
        "A component visible in the UI has a HelpText value.";
    INSTALL_INETCFG = "install-inetcfg": Style Must,
        name None, stop None, page "network/ndis-filter-driver-installation.md",
        "Installation and removal go through INetCfg or netcfg, not SetupAPI.";
}
