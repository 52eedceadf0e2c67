<#
.SYNOPSIS
Makes target\package\<arch> of a release build with the WDK's tools: the layout that "cargo xtask package" makes on Linux.
.PARAMETER Architecture
x64 or arm64.
.PARAMETER Certificate
Thumbprint of a code signing certificate in the current user's store, or what only one's subject holds; without it a test
certificate is made.
.PARAMETER TimestampServer
An RFC 3161 server. Without it the signature has no time stamp and ends with its certificate.
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [ValidateSet('x64', 'arm64')][string]$Architecture = 'x64',
    [string]$Certificate,
    [string]$TimestampServer
)
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'deferlwf.psm1') -Force

Assert-WindowsBuild
foreach ($tool in 'stampinf.exe', 'inf2cat.exe', 'signtool.exe', 'infverif.exe') {
    Assert-Tool -Name $tool -From 'the WDK, or use an eWDK prompt'
}
Assert-Tool -Name 'cargo.exe' -From 'Rust, by rustup'
$root = (Resolve-Path -LiteralPath (Join-Path -Path $PSScriptRoot -ChildPath '..')).ProviderPath
$built = Join-Path -Path $root -ChildPath "target\driver\$Architecture\release"
if (-not (Test-Path -LiteralPath (Join-Path -Path $built -ChildPath 'deferlwf.sys'))) {
    throw "There is no deferlwf.sys in ${built}: run 'cargo xtask build --release --arch $Architecture' first."
}
$image = Get-ImageArchitecture -Path (Join-Path -Path $built -ChildPath 'deferlwf.sys')
if ($image -ne $Architecture) {
    throw "deferlwf.sys in $built is for ${image}: run 'cargo xtask build --release --arch $Architecture' again."
}
# Before anything is removed: a certificate that cannot sign is found at once.
$signer = if ($Certificate) { Find-SigningCertificate -Wanted $Certificate } else { $null }
$packages = Join-Path -Path $root -ChildPath 'target\package'
$package = Join-Path -Path $packages -ChildPath $Architecture
$version = (cargo metadata --no-deps --format-version 1 | ConvertFrom-Json).packages | Where-Object { $_.name -eq 'deferlwf' } | ForEach-Object { $_.version }
if (-not $PSCmdlet.ShouldProcess($package, "package deferlwf $version")) {
    return
}

if ($null -eq $signer) {
    $subject = 'CN=deferlwf test code signing'
    $signer = Get-ChildItem -Path Cert:\CurrentUser\My -CodeSigningCert |
        Where-Object { $_.Subject -eq $subject -and $_.HasPrivateKey -and $_.NotBefore -le (Get-Date) -and $_.NotAfter -gt (Get-Date).AddDays(1) } |
        Sort-Object -Property NotAfter -Descending | Select-Object -First 1
    if ($null -eq $signer) {
        $signer = New-SelfSignedCertificate -Type CodeSigningCert -Subject $subject -CertStoreLocation Cert:\CurrentUser\My -HashAlgorithm SHA256
    }
    # For those who check the package elsewhere; what installs it reads the catalog.
    $encoded = [Convert]::ToBase64String($signer.RawData, [Base64FormattingOptions]::InsertLineBreaks)
    $null = New-Item -ItemType Directory -Path $packages -Force
    Set-Content -LiteralPath (Join-Path -Path $packages -ChildPath 'test-ca.pem') -Value "-----BEGIN CERTIFICATE-----`n$encoded`n-----END CERTIFICATE-----"
}

if (Test-Path -LiteralPath $package) {
    Remove-Item -LiteralPath $package -Recurse
}
$null = New-Item -ItemType Directory -Path $package
Copy-Item -Path (Join-Path -Path $built -ChildPath '*') -Include 'deferlwf.sys', 'deferlwf.pdb', '*.tmf' -Destination $package
Copy-Item -Path (Join-Path -Path $root -ChildPath 'LICENSE-*') -Destination $package
$inf = Join-Path -Path $package -ChildPath 'deferlwf.inf'
Copy-Item -LiteralPath (Join-Path -Path $root -ChildPath 'inf\deferlwf.inx') -Destination $inf
$stampArchitecture = if ($Architecture -eq 'x64') { 'amd64' } else { 'arm64' }
$date = (Get-Date).ToUniversalTime().ToString('MM/dd/yyyy', [Globalization.CultureInfo]::InvariantCulture)
Invoke-Program -Name 'stampinf.exe' -Arguments '-f', $inf, '-a', $stampArchitecture, '-c', 'deferlwf.cat', '-d', $date, '-v', "$version.0"

# All of it as for a signature from Microsoft; the part for the driver store as an isolated driver.
Invoke-Program -Name 'infverif.exe' -Arguments '/v', '/h', $inf
Invoke-Program -Name 'infverif.exe' -Arguments '/v', '/w', '/wbuild', '10.0.25319', $inf

$sign = @('sign', '/fd', 'SHA256', '/sha1', $signer.Thumbprint)
if ($TimestampServer) {
    $sign += @('/tr', $TimestampServer, '/td', 'SHA256')
}
$systems = if ($Architecture -eq 'x64') { '10_VB_X64,ServerFE_X64,10_CO_X64,10_NI_X64,10_GE_X64,Server2025_X64' } else { '10_VB_ARM64,ServerFE_ARM64,10_CO_ARM64,10_NI_ARM64,10_GE_ARM64,Server2025_ARM64' }
Invoke-Program -Name 'signtool.exe' -Arguments ($sign + @('/ph', (Join-Path -Path $package -ChildPath 'deferlwf.sys')))
Invoke-Program -Name 'inf2cat.exe' -Arguments "/driver:$package", "/os:$systems", '/uselocaltime'
Invoke-Program -Name 'signtool.exe' -Arguments ($sign + @((Join-Path -Path $package -ChildPath 'deferlwf.cat')))

$files = Get-ChildItem -LiteralPath $package -File | Sort-Object -Property Name | ForEach-Object {
    [ordered]@{ name = $_.Name; bytes = $_.Length; sha256 = (Get-FileHash -LiteralPath $_.FullName -Algorithm SHA256).Hash.ToLowerInvariant() }
}
[ordered]@{
    name = 'deferlwf'; version = $version; architecture = $Architecture; driver_version = "$date,$version.0"; files = @($files); unsigned = @()
} | ConvertTo-Json -Depth 4 | Set-Content -LiteralPath (Join-Path -Path $package -ChildPath 'manifest.json')
Write-Host $package
