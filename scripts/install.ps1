<#
.SYNOPSIS
Installs the filter of a package through the network configuration (netcfg, which calls INetCfg).
.DESCRIPTION
Looks first whether this machine can take it, and changes nothing when it cannot. Installing again what is installed
changes nothing; -Upgrade removes what is there first. A package that Microsoft did not sign needs test signing, and its
certificates, which are in its catalog, are trusted on this machine.
.PARAMETER Package
The package's folder: target\package\x64 or target\package\arm64.
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [string]$Package,
    [switch]$Upgrade
)
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'deferlwf.psm1') -Force

Assert-Machine
if (-not $Package) {
    $Package = Join-Path -Path $PSScriptRoot -ChildPath "..\target\package\$(Get-OsArchitecture)"
}
Assert-Package -Package $Package
$Package = (Resolve-Path -LiteralPath $Package).ProviderPath
Assert-DriverLoads -Package $Package

$catalog = Join-Path -Path $Package -ChildPath 'deferlwf.cat'
$isTest = -not (Test-MicrosoftSigned -Path $catalog)
$stores = [ordered]@{}
if ($isTest) {
    $certificates = Get-SignatureCertificate -Catalog $catalog
    $stores['TrustedPublisher'] = $certificates.Signer
    if ($null -ne $certificates.Authority) {
        $stores['Root'] = $certificates.Authority
    }
    elseif ((Get-AuthenticodeSignature -LiteralPath $catalog).Status -ne 'Valid') {
        throw "This machine does not trust '$($certificates.Signer.Issuer)', which issued the signer's certificate: import that authority's certificate with 'certutil -addstore Root', and run this again."
    }
}

if ((Test-FilterInstalled) -and -not $Upgrade) {
    Write-Host 'deferlwf is installed already; say -Upgrade to replace it.'
    return
}
# Also where no service is left: an upgrade that stopped half-way leaves its package in the driver store.
if ($Upgrade -and $PSCmdlet.ShouldProcess('deferlwf', 'uninstall the version that is there')) {
    & (Join-Path -Path $PSScriptRoot -ChildPath 'uninstall.ps1')
}
foreach ($store in $stores.Keys) {
    $certificate = $stores[$store]
    if (Test-Path -Path "Cert:\LocalMachine\$store\$($certificate.Thumbprint)") {
        Write-Verbose "$($certificate.Subject) is in $store already."
    }
    elseif ($PSCmdlet.ShouldProcess("$store of this machine", "trust '$($certificate.Subject)'")) {
        $file = Join-Path -Path ([IO.Path]::GetTempPath()) -ChildPath "deferlwf-$PID.cer"
        try {
            [IO.File]::WriteAllBytes($file, $certificate.RawData)
            Invoke-Program -Name 'certutil.exe' -Arguments '-f', '-addstore', $store, $file
        }
        finally {
            Remove-Item -LiteralPath $file -Force -ErrorAction SilentlyContinue
        }
    }
}
if ($PSCmdlet.ShouldProcess($Package, 'install with netcfg')) {
    Invoke-Program -Name 'netcfg.exe' -Arguments '/v', '/l', (Join-Path -Path $Package -ChildPath 'deferlwf.inf'), '/c', 's', '/i', $ComponentId
    Get-NetAdapterBinding -ComponentID $ComponentId -ErrorAction SilentlyContinue | Format-Table -Property 'Name', 'Enabled' | Out-Host
}
