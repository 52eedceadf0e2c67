# What the scripts of this folder share: looking at the machine before anything is changed.
# Each check throws one sentence that says what to do.

Set-StrictMode -Version Latest

# The filter's component id in inf/deferlwf.inx, and its files.
$ComponentId = 'deferlwf_filter'
$DriverFile = 'deferlwf.sys'
# The oldest build that the image loads on (abi/imports.toml).
$OldestBuild = 19041

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
    $build = [Environment]::OSVersion.Version.Build
    if ($build -lt $OldestBuild) {
        throw "This is Windows build $build and the driver loads from $OldestBuild on: use Windows 10 2004, Server 2022 or later."
    }
}

function Assert-Package {
    param([Parameter(Mandatory)][string]$Package)
    foreach ($extension in 'sys', 'inf', 'cat') {
        $file = Join-Path -Path $Package -ChildPath "deferlwf.$extension"
        if (-not (Test-Path -LiteralPath $file)) {
            throw "There is no ${file}: make the package with 'cargo make package', or copy target/package from the machine that made it."
        }
    }
    $manifest = Get-Content -LiteralPath (Join-Path -Path $Package -ChildPath 'manifest.json') -Raw | ConvertFrom-Json
    $machine = Get-OsArchitecture
    if ($manifest.architecture -ne $machine) {
        throw "The package is for $($manifest.architecture) and this machine is ${machine}: take the package for $machine."
    }
    foreach ($entry in $manifest.files) {
        $file = Join-Path -Path $Package -ChildPath $entry.name
        if ((Get-FileHash -LiteralPath $file -Algorithm SHA256).Hash -ne $entry.sha256) {
            throw "$file is not the file that manifest.json describes: copy the package again."
        }
    }
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
