"""Reads PowerShell with tree-sitter's grammar and lists what is wrong: powershell.py SCRIPT...

What cannot be parsed; complaints that say no remedy; of scripts that are run (.ps1): what changes the machine and is not
asked for by ShouldProcess, so that -WhatIf would do it; what is changed before the machine was looked at; checks that the
module beside them does not have; of that module (deferlwf.psm1): checks that do not look at what they are for.
"""

import pathlib
import re
import sys

import tree_sitter
import tree_sitter_powershell

parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))

# What changes something. Of programs that are asked, `Invoke-Program` with one of these arguments changes nothing.
CHANGES = re.compile(
    r"(Add|Copy|Disable|Enable|Install|Move|New|Remove|Rename|Restart|Set|Start|Stop|Uninstall)-\w+|Invoke-Program", re.I
)
ASKS = ("'/query",)
# Names that only look like it.
HARMLESS = {"new-object", "set-strictmode"}
MODULE = "deferlwf.psm1"
# What has to be looked at before the first change: by scripts that change the machine they run on, which is every one
# that is not named; and by the others.
ON_MACHINE = ["Assert-Machine", "Assert-DriverLoads"]
LOOKED_AT = {
    "install.ps1": [*ON_MACHINE, "Assert-Package"],
    "install-wdk.ps1": ["Assert-Tool"],
    "package.ps1": ["Assert-WindowsBuild", "Assert-Tool", "Get-ImageArchitecture", "Find-SigningCertificate"],
}
# What the module's checks have to ask.
ASKED_BY = {
    "Assert-Machine": ["Assert-WindowsBuild", "Get-OsArchitecture", "Assert-Elevated"],
    "Assert-DriverLoads": ["Test-MicrosoftSigned", "Assert-TestSigning", "Show-MemoryIntegrity"],
    "Assert-Package": ["Get-OsArchitecture", "Get-ImageArchitecture", "Get-FileHash"],
    "Assert-TestSigning": ["Test-TestSigning", "Confirm-SecureBootUEFI"],
    "Test-MicrosoftSigned": ["Get-Signer"],
    "Get-Signer": ["Get-AuthenticodeSignature"],
}


def text(node):
    return node.text.decode(errors="replace")


def walk(node, kind):
    if node.type == kind:
        yield node
    for child in node.children:
        yield from walk(child, kind)


def above(node):
    while node.parent is not None:
        yield node, node.parent
        node = node.parent


def syntax(node):
    if node.is_error or node.is_missing:
        yield node, "not PowerShell: " + text(node).split("\n")[0][:60]
    elif node.has_error:
        for child in node.children:
            yield from syntax(child)


def name_of(command):
    names = [child for child in command.children if child.type == "command_name"]
    return text(names[0]) if names else ""


def changes(command):
    name = name_of(command)
    is_question = name == "Invoke-Program" and any(word in text(command) for word in ASKS)
    return CHANGES.fullmatch(name) is not None and name.lower() not in HARMLESS and not is_question


def condition(statement):
    """What an `if` asks, without its blocks."""
    return "".join(text(child) for child in statement.children if child.type == "pipeline")


def is_asked(node):
    """Whether ShouldProcess decides about a node: it is in the block of an `if`, or behind one that returns."""
    for child, parent in above(node):
        if parent.type in ("if_statement", "elseif_clause") and child.type == "statement_block":
            asked = condition(parent)
            if "ShouldProcess(" in asked and "-not $PSCmdlet.ShouldProcess(" not in asked:
                return True
        if parent.type == "statement_list":
            for before in parent.children:
                if before.start_byte >= child.start_byte:
                    break
                is_refusal = before.type == "if_statement" and "-not $PSCmdlet.ShouldProcess(" in condition(before)
                if is_refusal and any(text(flow) == "return" for flow in walk(before, "flow_control_statement")):
                    return True
    return False


def function_of(node):
    functions = [parent for _, parent in above(node) if parent.type == "function_statement"]
    return functions[0] if functions else None


def unasked(root):
    """Commands that -WhatIf would run: those of a function are asked for where it is called."""
    by_function = {}
    for command in walk(root, "command"):
        if changes(command) and not is_asked(command):
            function = function_of(command)
            if function is None:
                yield command, f"-WhatIf would run it: {text(command)[:60]}"
            else:
                by_function[text(next(walk(function, "function_name")))] = command
    for name in by_function:
        calls = [command for command in walk(root, "command") if name_of(command) == name]
        for call in calls:
            if not is_asked(call) and not changes(call):
                yield call, f"-WhatIf would run it: {text(call)[:60]}"


def promises(name, root):
    head = text(root)
    if "[CmdletBinding(SupportsShouldProcess)]" not in head:
        yield root, "no -WhatIf: CmdletBinding lacks SupportsShouldProcess"
    yield from unasked(root)
    commands = list(walk(root, "command"))
    first = min((command.start_byte for command in commands if changes(command) and not function_of(command)), default=None)
    for wanted in LOOKED_AT.get(name, ON_MACHINE):
        places = [command.start_byte for command in commands if name_of(command) == wanted]
        if not places or (first is not None and min(places) > first):
            yield root, f"{wanted} does not come before what is changed"


def defined(root):
    """The functions of a module, by name."""
    return {text(next(walk(function, "function_name"))): function for function in walk(root, "function_statement")}


def unknown(path, root):
    """Checks that are called and are nowhere: PowerShell would say so only when it gets there."""
    module = path.with_name(MODULE)
    known = set(defined(root))
    if module.is_file():
        known |= set(defined(parser.parse(module.read_bytes()).root_node))
    for command in walk(root, "command"):
        name = name_of(command)
        if re.match(r"(Assert|Show|Find)-", name) and name not in known:
            yield command, f"{MODULE} has no {name}"


def questions(root):
    functions = defined(root)
    for name, asked in ASKED_BY.items():
        if name not in functions:
            yield root, f"no function {name}"
            continue
        calls = {name_of(command) for command in walk(functions[name], "command")}
        for wanted in asked:
            if wanted not in calls:
                yield functions[name], f"{name} does not ask {wanted}"


def complaints(root):
    for statement in walk(root, "flow_control_statement"):
        words = text(statement)
        if words.startswith("throw ") and not re.search(r"\w[^:]*: ?\w", words):
            yield statement, f"says no remedy: {words[:60]}"


def check(path):
    root = parser.parse(path.read_bytes()).root_node
    found = list(syntax(root))
    if not found:
        found += complaints(root)
        if path.suffix == ".ps1":
            found += promises(path.name, root)
            found += unknown(path, root)
        elif path.name == MODULE:
            found += questions(root)
    for node, what in found:
        yield f"{path}:{node.start_point[0] + 1}: {what}"


wrong = [line for path in sys.argv[1:] for line in check(pathlib.Path(path))]
for line in wrong:
    print(line)
sys.exit(1 if wrong else 0)
