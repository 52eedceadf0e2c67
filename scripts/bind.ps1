<#
.SYNOPSIS
Binds the filter to an adapter, to several or to all, or unbinds it with -Off. What is so already stays so.
.PARAMETER Adapter
Names as Get-NetAdapter shows them; * is all.
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [string[]]$Adapter = @('*'),
    [switch]$Off
)
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'deferlwf.psm1') -Force

Assert-Machine
if (-not (Test-FilterInstalled)) {
    throw 'deferlwf is not installed: run "cargo make install" first.'
}
# Unbinding has to work where the driver does not load.
Assert-DriverLoads -WarnOnly:$Off
$bindings = @(Get-NetAdapterBinding -Name $Adapter -ComponentID $ComponentId -ErrorAction SilentlyContinue)
if ($bindings.Count -eq 0) {
    throw "No adapter '$($Adapter -join ', ')' that deferlwf can bind to: see Get-NetAdapter for their names."
}
foreach ($binding in $bindings) {
    if ($binding.Enabled -ne [bool]$Off) {
        Write-Host "$($binding.Name): as it is."
    }
    elseif ($Off) {
        if ($PSCmdlet.ShouldProcess($binding.Name, 'unbind deferlwf')) {
            Disable-NetAdapterBinding -Name $binding.Name -ComponentID $ComponentId
        }
    }
    elseif ($PSCmdlet.ShouldProcess($binding.Name, 'bind deferlwf')) {
        Enable-NetAdapterBinding -Name $binding.Name -ComponentID $ComponentId
    }
}
Get-NetAdapterBinding -ComponentID $ComponentId | Format-Table -Property 'Name', 'Enabled' | Out-Host
