# What the scripts of this folder share: looking at the machine before anything is changed.
# Each check throws one sentence that says what to do.

Set-StrictMode -Version Latest
# A module does not see what the scripts say of it.
$ErrorActionPreference = 'Stop'

# The filter's component id in inf/deferlwf.inx, and its files.
$ComponentId = 'deferlwf_filter'
$DriverFile = 'deferlwf.sys'
# The oldest build that the image loads on (abi/imports.toml).
$OldestBuild = 19041
# What Microsoft's signature on a driver is for: attested, or tested by HLK.
$DriverUsages = '1.3.6.1.4.1.311.10.3.5.1', '1.3.6.1.4.1.311.10.3.5'

function Get-OsArchitecture {
    # The machine's architecture as the package folders are named, whatever PowerShell itself runs as.
    switch ((Get-CimInstance -ClassName Win32_Processor | Select-Object -First 1).Architecture) {
        9 { 'x64' }
        12 { 'arm64' }
        default { throw 'This processor is neither x64 nor ARM64: use a virtual machine of one of them.' }
    }
}

function Assert-Elevated {
    $identity = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
    if (-not $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'Not elevated: start PowerShell with "Run as administrator" and run the command again.'
    }
}

function Assert-WindowsBuild {
    if ([Environment]::OSVersion.Platform -ne [PlatformID]::Win32NT) {
        throw 'This is not Windows: copy scripts and the folder of the package to the test machine and run it there.'
    }
    $build = [Environment]::OSVersion.Version.Build
    if ($build -lt $OldestBuild) {
        throw "This is Windows build $build and the driver loads from $OldestBuild on: use Windows 10 2004, Server 2022 or later."
    }
}

function Assert-Machine {
    # What every script that changes a machine asks before anything else.
    Assert-WindowsBuild
    Write-Verbose "This machine is $(Get-OsArchitecture)."
    Assert-Elevated
}

function Assert-Package {
    param([Parameter(Mandatory)][string]$Package)
    foreach ($name in 'deferlwf.sys', 'deferlwf.inf', 'deferlwf.cat', 'manifest.json') {
        $file = Join-Path -Path $Package -ChildPath $name
        if (-not (Test-Path -LiteralPath $file)) {
            throw "There is no ${file}: make the package with 'cargo make package', or copy its folder from the machine that made it."
        }
    }
    $manifest = Get-Content -LiteralPath (Join-Path -Path $Package -ChildPath 'manifest.json') -Raw | ConvertFrom-Json
    $machine = Get-OsArchitecture
    if ($manifest.architecture -ne $machine) {
        throw "The package is for $($manifest.architecture) and this machine is ${machine}: take the package for $machine."
    }
    $image = Get-ImageArchitecture -Path (Join-Path -Path $Package -ChildPath $DriverFile)
    if ($image -ne $machine) {
        throw "deferlwf.sys is for $image and this machine is ${machine}: take the package for $machine."
    }
    $listed = @($manifest.files | ForEach-Object { $_.name })
    foreach ($file in Get-ChildItem -LiteralPath $Package) {
        if ($file.Name -ne 'manifest.json' -and $listed -notcontains $file.Name) {
            throw "$($file.FullName) is not in manifest.json: take it away, or copy the package again."
        }
    }
    foreach ($entry in $manifest.files) {
        $file = Join-Path -Path $Package -ChildPath $entry.name
        if (-not (Test-Path -LiteralPath $file)) {
            throw "$file is in manifest.json and not here: copy the package again."
        }
        if ((Get-FileHash -LiteralPath $file -Algorithm SHA256).Hash -ne $entry.sha256) {
            throw "$file is not the file that manifest.json describes: copy the package again."
        }
    }
}

function Get-ImageArchitecture {
    # What a PE image is for, by the machine field behind its signature.
    param([Parameter(Mandatory)][string]$Path)
    $bytes = [IO.File]::ReadAllBytes($Path)
    $header = 0
    if ($bytes.Length -gt 0x40) {
        $header = [BitConverter]::ToInt32($bytes, 0x3C)
    }
    if ($header -le 0 -or $header -gt $bytes.Length - 6 -or [BitConverter]::ToUInt32($bytes, $header) -ne 0x4550) {
        throw "$Path is no driver image: build it again with 'cargo make build'."
    }
    switch ([BitConverter]::ToUInt16($bytes, $header + 4)) {
        0x8664 { 'x64' }
        0xAA64 { 'arm64' }
        default { 'another architecture' }
    }
}

function Get-Signer {
    # The certificate that a file's signature names.
    param([Parameter(Mandatory)][string]$Path)
    $signer = (Get-AuthenticodeSignature -LiteralPath $Path).SignerCertificate
    if ($null -eq $signer) {
        throw "$Path is not signed: make the package again with 'cargo make package', which signs it."
    }
    $signer
}

function Test-MicrosoftSigned {
    # Whether Windows loads the file as a driver without test signing: Microsoft signed it, and as a driver
    # (install/kernel-mode-code-signing-policy--windows-vista-and-later-.md). Windows itself looks closer; who forges
    # names here sees the driver not start.
    param([Parameter(Mandatory)][string]$Path)
    $signer = Get-Signer -Path $Path
    $usages = @($signer.Extensions |
            Where-Object { $_ -is [Security.Cryptography.X509Certificates.X509EnhancedKeyUsageExtension] } |
            ForEach-Object { $_.EnhancedKeyUsages } |
            ForEach-Object { $_.Value })
    if (@($usages | Where-Object { $DriverUsages -contains $_ }).Count -eq 0) {
        return $false
    }
    $chain = New-Object -TypeName 'Security.Cryptography.X509Certificates.X509Chain'
    $chain.ChainPolicy.RevocationMode = 'NoCheck'
    # A signature outlives its certificate by its time stamp.
    $chain.ChainPolicy.VerificationFlags = 'IgnoreNotTimeValid'
    $isTrusted = $chain.Build($signer)
    $root = $chain.ChainElements[$chain.ChainElements.Count - 1].Certificate
    $isTrusted -and $root.Subject -like 'CN=Microsoft Root *'
}

function Get-SignatureCertificate {
    # Who signed a catalog, and the authority that its signature brings along, if it does. It is read from the file
    # itself, so that a package is what it is wherever it was copied to.
    param([Parameter(Mandatory)][string]$Catalog)
    Add-Type -AssemblyName 'System.Security'
    $message = New-Object -TypeName 'Security.Cryptography.Pkcs.SignedCms'
    $message.Decode([IO.File]::ReadAllBytes($Catalog))
    $signer = $message.SignerInfos[0].Certificate
    $authority = $signer
    # No chain has more than a few; two that issued each other have no end.
    for ($depth = 0; $null -ne $authority -and $authority.Subject -ne $authority.Issuer; $depth++) {
        $issuer = $authority.Issuer
        $above = @($message.Certificates | Where-Object { $_.Subject -eq $issuer })
        $authority = if ($above.Count -gt 0 -and $depth -lt 8) { $above[0] } else { $null }
    }
    [pscustomobject]@{ Signer = $signer; Authority = $authority }
}

function Test-TestSigning {
    # Asks the loader's options, which is what counts until the next start.
    $options = (Get-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Control').SystemStartOptions
    $options -match '(^|\s)TESTSIGNING(\s|$)'
}

function Assert-TestSigning {
    if (Test-TestSigning) {
        return
    }
    $secureBoot = $false
    try {
        $secureBoot = Confirm-SecureBootUEFI
    }
    catch {
        Write-Verbose 'This firmware has no Secure Boot.'
    }
    if ($secureBoot) {
        throw 'Secure Boot is on, so test signing cannot be: turn it off in the firmware (a virtual machine''s settings), run "bcdedit /set testsigning on" and restart.'
    }
    throw 'Test signing is off: run "bcdedit /set testsigning on", restart, and run this again.'
}

function Show-MemoryIntegrity {
    $guard = Get-CimInstance -Namespace 'root\Microsoft\Windows\DeviceGuard' -ClassName Win32_DeviceGuard -ErrorAction SilentlyContinue
    # 2 is hypervisor-enforced code integrity. It takes test-signed images: install/the-testsigning-boot-configuration-option.md.
    if ($null -ne $guard -and $guard.SecurityServicesRunning -contains 2) {
        Write-Warning 'Memory integrity is on: should the driver not start, turn it off under Windows Security, Device security, Core isolation, restart, and try again.'
    }
}

function Assert-DriverLoads {
    # Whether Windows, as it was started, loads the driver: decided by who signed the files, of a package or, without
    # -Package, of what is installed. With -WarnOnly, for what has to work on a machine that does not load it, it warns.
    param([string]$Package, [switch]$WarnOnly)
    $files = @(if ($Package) {
            'sys', 'cat' | ForEach-Object { Join-Path -Path $Package -ChildPath "deferlwf.$_" }
        }
        else {
            Get-InstalledImage
        })
    try {
        $others = @($files | Where-Object { -not (Test-MicrosoftSigned -Path $_) })
        if ($others.Count -gt 0) {
            Assert-TestSigning
            Show-MemoryIntegrity
        }
    }
    catch {
        if (-not $WarnOnly) {
            throw
        }
        Write-Warning "The driver does not load as it is. $_"
    }
}

function Get-InstalledImage {
    # Where the service's image is; nothing when it is not installed.
    $key = 'HKLM:\SYSTEM\CurrentControlSet\Services\deferlwf'
    if (-not (Test-Path -Path $key)) {
        return
    }
    $path = (Get-ItemProperty -Path $key).ImagePath -replace '^\\SystemRoot\\', '' -replace '^\\\?\?\\', ''
    if (-not [IO.Path]::IsPathRooted($path)) {
        $path = Join-Path -Path $env:SystemRoot -ChildPath $path
    }
    if (Test-Path -LiteralPath $path) {
        $path
    }
}

function Find-SigningCertificate {
    # The one certificate of the current user's store that is meant, if it can sign now.
    param([Parameter(Mandatory)][string]$Wanted)
    $orNone = 'or leave -Certificate out for a test certificate'
    $all = @(Get-ChildItem -Path Cert:\CurrentUser\My -CodeSigningCert |
            Where-Object { $_.Thumbprint -eq $Wanted -or $_.Subject.Contains($Wanted) })
    if ($all.Count -eq 0) {
        throw "No code signing certificate '$Wanted' in the current user's store: import it, $orNone."
    }
    $withKey = @($all | Where-Object { $_.HasPrivateKey })
    if ($withKey.Count -eq 0) {
        throw "The certificate '$Wanted' has no private key in the current user's store: import it with its key (a .pfx), $orNone."
    }
    $now = Get-Date
    $valid = @($withKey | Where-Object { $_.NotBefore -le $now -and $_.NotAfter -gt $now })
    if ($valid.Count -gt 1) {
        throw "'$Wanted' are $($valid.Count) certificates: give the thumbprint of one, $($valid.Thumbprint -join ' or ')."
    }
    if ($valid.Count -eq 1) {
        return $valid[0]
    }
    $other = $withKey[0]
    if ($other.NotBefore -gt $now) {
        throw "The certificate '$Wanted' is valid from $($other.NotBefore) on: wait until then, give another, $orNone."
    }
    throw "The certificate '$Wanted' expired on $($other.NotAfter): renew it, $orNone."
}

function Assert-Tool {
    param([Parameter(Mandatory)][string]$Name, [Parameter(Mandatory)][string]$From)
    if ($null -eq (Get-Command -Name $Name -CommandType Application -ErrorAction SilentlyContinue)) {
        throw "$Name is not on PATH: install $From and start a prompt that has it."
    }
}

function Invoke-Program {
    # Runs a program and throws when it does not end with an allowed code.
    param(
        [Parameter(Mandatory)][string]$Name,
        [string[]]$Arguments = @(),
        [int[]]$Allowed = @(0)
    )
    Write-Verbose "$Name $($Arguments -join ' ')"
    & $Name @Arguments | Out-Host
    if ($Allowed -notcontains $LASTEXITCODE) {
        throw "$Name ended with code ${LASTEXITCODE}: read what it printed above."
    }
}

function Test-FilterInstalled {
    $service = Get-Service -Name 'deferlwf' -ErrorAction SilentlyContinue
    $null -ne $service
}

Export-ModuleMember -Function '*' -Variable 'ComponentId', 'DriverFile'
