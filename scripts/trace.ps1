<#
.SYNOPSIS
Records what a trace provider says into target\trace\deferlwf.etl, and makes text of it.
.PARAMETER Provider
The provider's GUID. The driver has none yet; this is where its own goes.
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Mandatory)][ValidateSet('Start', 'Stop', 'Decode')][string]$Action,
    [string]$Provider = $env:DEFERLWF_TRACE_PROVIDER,
    # Folder of TMF files, for WPP messages.
    [string]$Formats
)
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'deferlwf.psm1') -Force

$session = 'deferlwf'
$folder = Join-Path -Path $PSScriptRoot -ChildPath '..\target\trace'
$log = Join-Path -Path $folder -ChildPath 'deferlwf.etl'
if ($Action -ne 'Decode') {
    Assert-Machine
    # What Windows says of a driver that it does not load can be recorded.
    Assert-DriverLoads -WarnOnly
}
switch ($Action) {
    'Start' {
        if (-not $Provider) {
            throw 'No provider: the driver has no trace provider yet, so give the GUID of one with -Provider or in DEFERLWF_TRACE_PROVIDER.'
        }
        if ($PSCmdlet.ShouldProcess($Provider, "record into $log")) {
            $null = New-Item -ItemType Directory -Path $folder -Force
            # A session that is left from before is ended: starting twice is starting anew.
            # Through cmd, because a redirected complaint of a program is an error to Windows PowerShell.
            & cmd.exe /d /c "logman.exe stop $session -ets >nul 2>nul"
            Invoke-Program -Name 'logman.exe' -Arguments 'start', $session, '-p', $Provider, '0xFFFFFFFF', '0xFF', '-o', $log, '-ets'
        }
    }
    'Stop' {
        if ($PSCmdlet.ShouldProcess($session, 'stop recording')) {
            & logman.exe stop $session -ets | Out-Host
            if ($LASTEXITCODE -ne 0) {
                Write-Host 'Nothing was recording.'
            }
        }
    }
    'Decode' {
        if (-not (Test-Path -LiteralPath $log)) {
            throw "There is no ${log}: run 'cargo make trace-start', then 'cargo make trace-stop'."
        }
        $text = [IO.Path]::ChangeExtension($log, 'txt')
        if ($PSCmdlet.ShouldProcess($log, "write $text")) {
            if ($Formats) {
                Assert-Tool -Name 'tracefmt.exe' -From 'the WDK'
                Invoke-Program -Name 'tracefmt.exe' -Arguments $log, '-p', $Formats, '-o', $text
            }
            else {
                Invoke-Program -Name 'tracerpt.exe' -Arguments $log, '-of', 'CSV', '-o', $text, '-y'
            }
            Write-Host $text
        }
    }
}
