<#
.SYNOPSIS
Removes the filter, its service and its packages in the driver store. Nothing happens when it is not installed.
.PARAMETER RemoveCertificates
Also stop trusting the test certificates.
#>
[CmdletBinding(SupportsShouldProcess)]
param([switch]$RemoveCertificates)
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'deferlwf.psm1') -Force

Assert-Machine
# Uninstalling has to work where the driver does not load.
Assert-DriverLoads -WarnOnly
if (-not (Test-FilterInstalled)) {
    Write-Host 'deferlwf is not installed.'
}
elseif ($PSCmdlet.ShouldProcess($ComponentId, 'uninstall with netcfg')) {
    Invoke-Program -Name 'netcfg.exe' -Arguments '/v', '/u', $ComponentId
    if (Test-FilterInstalled) {
        throw 'The service is still there, most likely because a program holds the control device open: close it, or restart, and run this again.'
    }
}
$packages = @(Get-WindowsDriver -Online | Where-Object { (Split-Path -Path $_.OriginalFileName -Leaf) -eq 'deferlwf.inf' })
foreach ($package in $packages) {
    if ($PSCmdlet.ShouldProcess($package.Driver, 'delete from the driver store')) {
        Invoke-Program -Name 'pnputil.exe' -Arguments '/delete-driver', $package.Driver
    }
}
if ($RemoveCertificates) {
    foreach ($store in 'Root', 'TrustedPublisher') {
        $certificates = @(Get-ChildItem -Path "Cert:\LocalMachine\$store" | Where-Object { $_.Subject -like 'CN=deferlwf test*' })
        foreach ($certificate in $certificates) {
            if ($PSCmdlet.ShouldProcess($certificate.Subject, "remove from $store")) {
                Remove-Item -LiteralPath $certificate.PSPath
            }
        }
    }
}
