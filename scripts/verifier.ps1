<#
.SYNOPSIS
Sets Driver Verifier for deferlwf.sys and ndis.sys, makes it inject faults, shows what it does, or turns it off.
.DESCRIPTION
On Windows 11 by rule classes, on Windows 10 by flags: devtest/verifier-command-line.md. All of them are set for the
next start; this script restarts nothing.
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Mandatory)][ValidateSet('On', 'Faults', 'Status', 'Off')][string]$Action,
    # Of faults: at random, or each call stack once. Two runs, because one hides what the other finds.
    [ValidateSet('Random', 'Systematic')][string]$Kind = 'Random'
)
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'deferlwf.psm1') -Force

Assert-Machine
# Turning it off, and looking at it, has to work where the driver does not load.
Assert-DriverLoads -WarnOnly:($Action -in 'Off', 'Status')
$hasClasses = [Environment]::OSVersion.Version.Build -ge 22000

# Special pool, force IRQL, pool tracking, I/O, deadlock, security, miscellaneous, DDI compliance and its additions,
# NDIS/WIFI, code integrity, driver isolation, DIF (which isolation and systematic faults need).
$checks = @('1', '2', '4', '5', '6', '9', '12', '18', '20', '22', '26', '33', '36')
# The same without what has no flag.
$flags = 0x1 -bor 0x2 -bor 0x8 -bor 0x10 -bor 0x20 -bor 0x100 -bor 0x800 -bor 0x20000 -bor 0x80000 -bor 0x200000 -bor 0x2000000

function Set-Verifier {
    param([string[]]$Classes, [int]$Flags, [string[]]$Drivers)
    if ($hasClasses) {
        $arguments = @('/rc') + $Classes + @('/driver') + $Drivers
    }
    else {
        $arguments = @('/flags', ('0x{0:X}' -f $Flags), '/driver') + $Drivers
    }
    # 2: the settings are made and count from the next start.
    Invoke-Program -Name 'verifier.exe' -Arguments $arguments -Allowed 0, 2
    Write-Host 'Restart the machine: the settings count from then on.'
}

switch ($Action) {
    'On' {
        if ($PSCmdlet.ShouldProcess("$DriverFile, ndis.sys", 'verify from the next start on')) {
            Set-Verifier -Classes $checks -Flags $flags -Drivers $DriverFile, 'ndis.sys'
        }
    }
    'Faults' {
        # Not for ndis.sys: its allocations are not what is tried.
        if ($Kind -eq 'Random') {
            if ($PSCmdlet.ShouldProcess($DriverFile, 'fail allocations at random from the next start on')) {
                Set-Verifier -Classes '1', '3', '4' -Flags (0x1 -bor 0x4 -bor 0x8) -Drivers $DriverFile
            }
        }
        elseif ($PSCmdlet.ShouldProcess($DriverFile, 'fail each call stack once from the next start on')) {
            Set-Verifier -Classes '1', '4', '19', '36' -Flags (0x1 -bor 0x8 -bor 0x40000) -Drivers $DriverFile
            Write-Host 'After the restart: "verifier /faultssystematic enableruntime" begins, "querystatistics" in its place shows how far it is.'
        }
    }
    'Status' {
        Invoke-Program -Name 'verifier.exe' -Arguments '/querysettings'
        Invoke-Program -Name 'verifier.exe' -Arguments '/query' -Allowed 0, 1, 2
    }
    'Off' {
        if ($PSCmdlet.ShouldProcess('all drivers', 'stop verifying from the next start on')) {
            Invoke-Program -Name 'verifier.exe' -Arguments '/reset' -Allowed 0, 2
            Write-Host 'Restart the machine: it verifies until then.'
        }
    }
}
