<#
.SYNOPSIS
Records the driver's events and WPP messages into target\trace\deferlwf.etl, and makes XML of the events, or text of both.
.PARAMETER Provider
Another provider's GUID in braces. The driver's own is the one that tools compute of its name, Deferlwf: docs/tracing.md
has its events, keywords and levels.
.PARAMETER Messages
The GUID of another driver's WPP messages in braces, or '' for none.
.PARAMETER Formats
Folder of TMF files, for the text of WPP messages: target\driver\x64\release\tmf\deferlwf.
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Mandatory)][ValidateSet('Start', 'Stop', 'Decode')][string]$Action,
    [string]$Provider = '{7e45679e-87d9-5082-3d2f-039eec7e8c85}',
    [string]$Messages = '{0f3a6d52-8e0b-4d43-9a57-1c6f52d7b8e4}',
    [string]$Keywords = '0xFFFFFFFF',
    [ValidateRange(1, 5)][int]$Level = 5,
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
        if ($PSCmdlet.ShouldProcess($Provider, "record into $log")) {
            $null = New-Item -ItemType Directory -Path $folder -Force
            # A session that is left from before is ended: starting twice is starting anew.
            # Through cmd, because a redirected complaint of a program is an error to Windows PowerShell.
            & cmd.exe /d /c "logman.exe stop $session -ets >nul 2>nul"
            Invoke-Program -Name 'logman.exe' -Arguments 'start', $session, '-p', $Provider, $Keywords, "$Level", '-o', $log, '-ets'
            if ($Messages) {
                Invoke-Program -Name 'logman.exe' -Arguments 'update', 'trace', $session, '-p', $Messages, '0xFFFFFF', "$Level", '-ets'
            }
            # A session that comes late learns what is there, where the WDK's tracelog can ask for it.
            if (Get-Command -Name 'tracelog.exe' -ErrorAction SilentlyContinue) {
                Invoke-Program -Name 'tracelog.exe' -Arguments '-capturestate', $session
            }
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
        $text = [IO.Path]::ChangeExtension($log, $(if ($Formats) { 'txt' } else { 'xml' }))
        if ($PSCmdlet.ShouldProcess($log, "write $text")) {
            if ($Formats) {
                Assert-Tool -Name 'tracefmt.exe' -From 'the WDK'
                Invoke-Program -Name 'tracefmt.exe' -Arguments $log, '-p', $Formats, '-o', $text
            }
            else {
                Invoke-Program -Name 'tracerpt.exe' -Arguments $log, '-of', 'XML', '-o', $text, '-y'
            }
            Write-Host $text
        }
    }
}
