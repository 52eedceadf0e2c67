<#
.SYNOPSIS
Installs the filter of a package through the network configuration (netcfg, which calls INetCfg).
.DESCRIPTION
Looks first whether this machine can take it, and changes nothing when it cannot. Installing again what is installed
changes nothing; -Upgrade removes what is there first.
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

Assert-WindowsBuild
Assert-Elevated
if (-not $Package) {
    $Package = Join-Path -Path $PSScriptRoot -ChildPath "..\target\package\$(Get-OsArchitecture)"
}
Assert-Package -Package $Package
$Package = (Resolve-Path -LiteralPath $Package).ProviderPath
$signature = Get-AuthenticodeSignature -LiteralPath (Join-Path -Path $Package -ChildPath 'deferlwf.cat')
if ($null -eq $signature.SignerCertificate) {
    throw 'The catalog has no certificate: make the package again with "cargo make package", which signs it.'
}
$authority = Join-Path -Path $Package -ChildPath '..\test-ca.pem'
$isTest = Test-Path -LiteralPath $authority
if ($isTest) {
    Assert-TestSigning
    Show-MemoryIntegrity
}

if ((Test-FilterInstalled) -and -not $Upgrade) {
    Write-Host 'deferlwf is installed already; say -Upgrade to replace it.'
    return
}
if ((Test-FilterInstalled) -and $PSCmdlet.ShouldProcess('deferlwf', 'uninstall the version that is there')) {
    & (Join-Path -Path $PSScriptRoot -ChildPath 'uninstall.ps1')
}
if ($isTest -and $PSCmdlet.ShouldProcess('this machine', 'trust the test certificate')) {
    Invoke-Program -Name 'certutil.exe' -Arguments '-f', '-addstore', 'Root', $authority
    $signer = Join-Path -Path ([IO.Path]::GetTempPath()) -ChildPath "deferlwf-$PID.cer"
    try {
        [IO.File]::WriteAllBytes($signer, $signature.SignerCertificate.RawData)
        Invoke-Program -Name 'certutil.exe' -Arguments '-f', '-addstore', 'TrustedPublisher', $signer
    }
    finally {
        Remove-Item -LiteralPath $signer -Force -ErrorAction SilentlyContinue
    }
}
if ($PSCmdlet.ShouldProcess($Package, 'install with netcfg')) {
    Invoke-Program -Name 'netcfg.exe' -Arguments '/v', '/l', (Join-Path -Path $Package -ChildPath 'deferlwf.inf'), '/c', 's', '/i', $ComponentId
    Get-NetAdapterBinding -ComponentID $ComponentId -ErrorAction SilentlyContinue | Format-Table -Property 'Name', 'Enabled' | Out-Host
}
