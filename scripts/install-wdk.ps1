<#
.SYNOPSIS
Brings the WDK's NuGet package for CI and tells later steps where it is, as wdk-build expects it.
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Mandatory)][ValidateSet('x64', 'arm64')][string]$Architecture,
    [string]$Version = '10.0.26100.6584',
    [string]$Folder = (Join-Path -Path $PSScriptRoot -ChildPath '..\target\wdk')
)
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'deferlwf.psm1') -Force

Assert-Tool -Name 'nuget.exe' -From 'the NuGet command line'
if (-not $PSCmdlet.ShouldProcess("WDK $Version for $Architecture", 'install')) {
    return
}
# The tools run on x64; headers and libraries are the target's.
foreach ($package in @('x64', $Architecture) | Select-Object -Unique) {
    Invoke-Program -Name 'nuget.exe' -Arguments 'install', "Microsoft.Windows.WDK.$package", '-Version', $Version, '-OutputDirectory', $Folder, '-NonInteractive'
}
$release = ($Version.Split('.')[0..2] -join '.') + '.0'
$target = (Resolve-Path -LiteralPath (Join-Path -Path $Folder -ChildPath "Microsoft.Windows.WDK.$Architecture.$Version\c")).ProviderPath
$tools = (Resolve-Path -LiteralPath (Join-Path -Path $Folder -ChildPath "Microsoft.Windows.WDK.x64.$Version\c")).ProviderPath
$sdk = @(Get-ChildItem -LiteralPath $Folder -Directory -Filter 'Microsoft.Windows.SDK.CPP.*' | Where-Object { $_.Name -match '^Microsoft\.Windows\.SDK\.CPP\.\d' })
if ($sdk.Count -ne 1) {
    throw "Not one but $($sdk.Count) SDK packages came with the WDK: empty $Folder and run this again."
}
$variables = [ordered]@{
    WDKContentRoot = "$target\"
    WDKBinRoot = "$tools\bin\$release"
    WDKToolRoot = "$tools\tools\$release"
    WindowsSdkBinPath = "$($sdk[0].FullName)\c\bin\"
    Version_Number = $release
}
$paths = @("$tools\bin\$release\x64", "$tools\bin\$release\x86", "$tools\tools\$release\x64", "$($sdk[0].FullName)\c\bin\$release\x64")
foreach ($name in $variables.Keys) {
    Add-Content -LiteralPath $env:GITHUB_ENV -Value "$name=$($variables[$name])"
}
foreach ($path in $paths) {
    Add-Content -LiteralPath $env:GITHUB_PATH -Value $path
}
