"""Recomputes a facts table from C headers: facts.py LIBCLANG TABLE.json FAMILY ARCH INCLUDE SCRATCH > NEW.json

TABLE.json names the facts and INCLUDE is the kit's folder with km and shared. What the headers do not have is left out.
abi/README.md describes the format.
"""

import json
import os
import pathlib
import sys

from clang import cindex
from clang.cindex import CursorKind, TypeKind

TARGETS = {
    "x64": ("x86_64-pc-windows-msvc", ["-D_AMD64_", "-DAMD64"]),
    "arm64": ("aarch64-pc-windows-msvc", ["-D_ARM64_", "-DARM64"]),
}
FLAGS = "-x c -D_WIN64 -D_KERNEL_MODE -fms-compatibility -fms-extensions -fno-builtin -w -Wno-invalid-token-paste -ferror-limit=0".split()
HEADERS = {
    "ndis": ["ntddk.h", "ndis.h"],
    "nt": ["ntifs.h", "ntddk.h", "ntstrsafe.h", "wmistr.h", "evntrace.h"],
}
# Versions by which declarations are gated, oldest first; the last is the one whose shape the table has.
VERSIONS = {
    "ndis": [(minor, [f"-DNDIS6{minor}=1"]) for minor in (84, 85, 86, 87)],
    "nt": [
        (name, [f"-DNTDDI_VERSION={value:#010x}", f"-D_WIN32_WINNT={value >> 16:#06x}", "-DRUN_WPP=1"])
        for name, value in [
            ("VISTA", 0x06000000),
            ("VISTASP1", 0x06000100),
            ("WIN7", 0x06010000),
            ("WIN8", 0x06020000),
            ("WINBLUE", 0x06030000),
            ("WIN10", 0x0A000000),
            ("WIN10_TH2", 0x0A000001),
            ("WIN10_RS1", 0x0A000002),
            ("WIN10_RS2", 0x0A000003),
            ("WIN10_RS3", 0x0A000004),
            ("WIN10_RS4", 0x0A000005),
            ("WIN10_RS5", 0x0A000006),
            ("WIN10_19H1", 0x0A000007),
            ("WIN10_VB", 0x0A000008),
        ]
    ]
    # The kit's own newest.
    + [("", ["-DRUN_WPP=1"])],
}
# IRQL annotations and the key that each becomes; the last ones take no level.
LEVELS = {
    "requires_max": "max", "requires_min": "min", "requires": "requires", "raises": "raises",
    "always_function_max": "always_max", "always_function_min": "always_min",
}  # fmt: skip
OLD_LEVELS = {"maxIRQL": "max", "minIRQL": "min", "requiresIRQL": "requires", "raisesIRQL": "raises"}
FLAGGED = {"saves": "saves", "restores": "restores", "requires_same": "same"}
OLD_FLAGGED = {"savesIRQL": "saves", "restoresIRQL": "restores", "sameIRQL": "same"}
GLOBAL = {"saves_global": "saves_global", "restores_global": "restores_global"}


# The headers that define IRQL annotations, anew each time that they are included.
ANNOTATED = ("driverspecs.h", "kernelspecs.h")


def annotations(header):
    """What stands before `header`: attributes in place of annotations, which libclang shows at what they annotate."""
    lines = [f"#include_next <{header}>"]

    def redefine(name, parameters, body):
        lines.append(f"#undef {name}")
        lines.append(f"#define {name}{parameters} {body}")

    def attribute(key, value=""):
        return f'__attribute__((annotate("{key}="{value})))'

    for names, form in ((LEVELS, "_IRQL_{}_"), (OLD_LEVELS, "__drv_{}")):
        for name, key in names.items():
            redefine(form.format(name), "(level)", attribute(key, " #level"))
    for names, form in ((FLAGGED, "_IRQL_{}_"), (OLD_FLAGGED, "__drv_{}")):
        for name, key in names.items():
            redefine(form.format(name), "", attribute(key))
    for name, key in GLOBAL.items():
        redefine(f"_IRQL_{name}_", "(kind, place)", attribute(key, ' #kind "," #place'))
    for name in ("_When_", "__drv_when"):
        redefine(name, "(condition, ...)", f'{attribute("if", " #condition")} __VA_ARGS__ {attribute("endif")}')
    return "\n".join(lines) + "\n"


def overlay(include):
    """A view of the kit in which letter case does not matter, as its headers expect."""

    def folder(path):
        entries = []
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if entry.is_dir():
                entries.append({"name": entry.name, "type": "directory", "contents": folder(entry.path)})
            else:
                entries.append({"name": entry.name, "type": "file", "external-contents": entry.path})
        return entries

    roots = [{"name": str(include), "type": "directory", "contents": folder(include)}]
    return {"version": 0, "case-sensitive": "false", "roots": roots}


class Kit:
    """The headers of one architecture, and how clang reads them."""

    def __init__(self, include, family, arch, scratch):
        self.include, self.family = include, family
        target, defines = TARGETS[arch]
        first = scratch / "annotated"
        first.mkdir(exist_ok=True)
        for header in ANNOTATED:
            (first / header).write_text(annotations(header))
        self.arguments = [*FLAGS, f"--target={target}", *defines, "-I", str(first)]
        if os.name != "nt":
            view = scratch / "overlay.json"
            view.write_text(json.dumps(overlay(include)))
            self.arguments += ["-ivfsoverlay", str(view)]
        for name in ("km/crt", "km", "shared"):
            self.arguments += ["-I", str(include / name)]
        self.index = cindex.Index.create()

    def parse(self, version, tail=""):
        """A translation unit of the family's headers, and the lines of `tail` that do not compile."""
        text = "".join(f"#include <{name}>\n" for name in HEADERS[self.family])
        before = text.count("\n")
        unit = self.index.parse(
            "unit.c",
            args=[*self.arguments, *version],
            unsaved_files=[("unit.c", text + tail)],
            options=cindex.TranslationUnit.PARSE_SKIP_FUNCTION_BODIES,
        )
        wrong = set()
        for diagnostic in unit.diagnostics:
            if diagnostic.severity < cindex.Diagnostic.Error:
                continue
            place = diagnostic.location
            if tail and place.file and place.file.name == "unit.c" and place.line > before:
                wrong.add(place.line - before - 1)
            else:
                sys.exit(f"{place.file.name if place.file else self.include}:{place.line}: {diagnostic.spelling}")
        return unit, wrong


class Names:
    """What a translation unit declares at its top."""

    def __init__(self, unit):
        self.typedefs, self.functions, self.tags = {}, {}, {}
        # The first typedef of each record or enumeration, by its declaration.
        self.primary = {}
        for cursor in unit.cursor.get_children():
            kind = cursor.kind
            if kind == CursorKind.TYPEDEF_DECL:
                self.typedefs.setdefault(cursor.spelling, cursor)
                declaration = cursor.underlying_typedef_type.get_canonical().get_declaration()
                if cursor.underlying_typedef_type.get_canonical().kind in (TypeKind.RECORD, TypeKind.ENUM):
                    self.primary.setdefault(declaration.get_usr(), cursor.spelling)
            elif kind == CursorKind.FUNCTION_DECL:
                self.functions.setdefault(cursor.spelling, []).append(cursor)
            elif kind in (CursorKind.STRUCT_DECL, CursorKind.UNION_DECL, CursorKind.ENUM_DECL):
                self.tags.setdefault(cursor.spelling, cursor)

    def type_of(self, name):
        """The type that a typedef or a tag names."""
        cursor = self.typedefs.get(name)
        if cursor is not None:
            return cursor.underlying_typedef_type
        cursor = self.tags.get(name)
        return None if cursor is None else cursor.type


def abi(kind):
    """The class by which a type is passed."""
    kind = kind.get_canonical()
    size = kind.get_size()
    match kind.kind:
        case TypeKind.VOID:
            return "void"
        case TypeKind.POINTER | TypeKind.FUNCTIONPROTO | TypeKind.FUNCTIONNOPROTO:
            return "ptr"
        case TypeKind.RECORD:
            return f"record:{size}"
        case TypeKind.CONSTANTARRAY:
            return f"[{abi(kind.element_type)};{kind.element_count}]"
        case TypeKind.INCOMPLETEARRAY:
            return f"[{abi(kind.element_type)};0]"
        case TypeKind.ENUM:
            return f"enum:{abi(kind.get_declaration().enum_type)}"
        case TypeKind.FLOAT | TypeKind.DOUBLE | TypeKind.LONGDOUBLE:
            return f"f{size * 8}"
    signed = kind.kind in (
        TypeKind.CHAR_S, TypeKind.SCHAR, TypeKind.SHORT, TypeKind.INT, TypeKind.LONG, TypeKind.LONGLONG,
    )  # fmt: skip
    return f"{'i' if signed else 'u'}{size * 8}"


def innermost(kind):
    """What a pointer or an array is of, in the end."""
    while True:
        if kind.kind == TypeKind.POINTER:
            kind = kind.get_pointee()
        elif kind.kind in (TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY):
            kind = kind.element_type
        else:
            return kind


def spelled(kind, names):
    """A type as C spells it, by its typedef name where there is one and not by its tag."""
    declaration = innermost(kind).get_declaration()
    text = kind.spelling
    if declaration.kind in (CursorKind.STRUCT_DECL, CursorKind.UNION_DECL, CursorKind.ENUM_DECL):
        primary = names.primary.get(declaration.get_usr())
        for word in ("struct", "union", "enum"):
            tagged = f"{word} {declaration.spelling}"
            if primary and tagged in text:
                text = text.replace(tagged, primary)
    return text


def fields(record, names, base=0, prefix=""):
    """The members of a record: those of unnamed ones lifted, those of inner types behind a dot."""
    found = []
    inside = list(record.get_declaration().get_children())
    for field in record.get_fields():
        kind = field.type
        canonical = kind.get_canonical()
        declaration = canonical.get_declaration()
        offset = base + field.get_field_offsetof()
        # libclang calls a member without a name nothing, or "(unnamed union at ...)".
        if not field.spelling.isidentifier():
            found += fields(canonical, names, offset, prefix) if canonical.kind == TypeKind.RECORD else []
            continue
        size = max(kind.get_size(), 0)
        entry = {"name": prefix + field.spelling, "offset": offset // 8, "size": size}
        if field.is_bitfield():
            unit = size * 8
            entry["offset"] = offset // unit * size
            entry["bits"] = [offset % unit, field.get_bitfield_width()]
        is_inner = canonical.kind == TypeKind.RECORD and declaration in inside
        inner_kind = "<union>" if declaration.kind == CursorKind.UNION_DECL else "<struct>"
        entry["type"] = inner_kind if is_inner else spelled(kind, names)
        entry["abi"] = abi(kind)
        found.append(entry)
        if is_inner:
            found += fields(canonical, names, offset, f"{prefix}{field.spelling}.")
    return found


def record(name, names):
    """The facts of a structure or union."""
    kind = names.type_of(name)
    if kind is None or kind.get_canonical().kind != TypeKind.RECORD or kind.get_size() < 0:
        return None
    canonical = kind.get_canonical()
    usr = canonical.get_declaration().get_usr()
    aliases = [
        other
        for other, cursor in names.typedefs.items()
        if other != name
        and cursor.underlying_typedef_type.get_canonical().kind == TypeKind.RECORD
        and cursor.underlying_typedef_type.get_canonical().get_declaration().get_usr() == usr
    ]
    is_union = canonical.get_declaration().kind == CursorKind.UNION_DECL
    facts = {
        "kind": "union" if is_union else "struct",
        "size": canonical.get_size(),
        "align": canonical.get_align(),
        "fields": fields(canonical, names),
    }
    if aliases:
        facts["aliases"] = sorted(aliases)
    return facts


def irql(cursor):
    """The IRQL annotations of a declaration."""
    facts, group = {}, None
    for child in cursor.get_children():
        if child.kind != CursorKind.ANNOTATE_ATTR or "=" not in child.spelling:
            continue
        key, value = child.spelling.split("=", 1)
        value = "".join(value.split())
        if key == "if":
            group = {"if": value}
        elif key == "endif":
            if group is not None and len(group) > 1:
                facts.setdefault("when", []).append(group)
            group = None
        else:
            place = facts if group is None else group
            value = value or True
            if key in place and place[key] != value:
                place.setdefault("also", []).append({key: value})
            else:
                place[key] = value
    return facts


def signature(kind, cursor, names):
    """The facts of a function type; the names of parameters are those of `cursor`."""
    parameters = [child for child in cursor.get_children() if child.kind == CursorKind.PARM_DECL]
    arguments = list(kind.argument_types())
    listed = []
    for index, argument in enumerate(arguments):
        parameter = parameters[index] if len(parameters) == len(arguments) else None
        # A parameter that is an array is one as C spells it, and passed as a pointer.
        shown = parameter.type if parameter is not None else argument
        name = parameter.spelling if parameter is not None else ""
        listed.append([name or f"Argument{index + 1}", spelled(shown, names), abi(argument)])
    result = kind.get_result()
    facts = {"ret": spelled(result, names), "ret_abi": abi(result), "params": listed}
    if kind.is_function_variadic():
        facts["variadic"] = True
    return facts


def function(name, names):
    """The facts of a function that is imported."""
    cursors = names.functions.get(name)
    if not cursors or any(cursor.is_definition() for cursor in cursors):
        return None
    cursor = cursors[-1]
    facts = signature(cursor.type, cursor, names)
    levels = irql(cursor)
    if levels:
        facts["irql"] = levels
    return facts


def callback(name, names):
    """The facts of a function type, or of a pointer to one."""
    cursor = names.typedefs.get(name)
    if cursor is None:
        return None
    kind, facts, declared = cursor.underlying_typedef_type, {}, cursor
    canonical = kind.get_canonical()
    if canonical.kind == TypeKind.POINTER:
        facts["pointer"] = True
        canonical = canonical.get_pointee()
        named = kind.get_pointee()
        other = named.get_declaration()
        if other.kind == CursorKind.TYPEDEF_DECL:
            facts["points_to"], declared = other.spelling, other
    elif kind.get_declaration().kind == CursorKind.TYPEDEF_DECL:
        declared = kind.get_declaration()
        facts["alias_of"] = declared.spelling
    if canonical.kind not in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO):
        return None
    facts |= signature(declared_type(declared, canonical), declared, names)
    levels = irql(declared) or irql(cursor)
    if levels:
        facts["irql"] = levels
    return facts


def declared_type(cursor, canonical):
    """The function type of a typedef as it was written, so that its parts keep their names."""
    kind = cursor.underlying_typedef_type
    while kind.kind in (TypeKind.ELABORATED, TypeKind.POINTER, TypeKind.UNEXPOSED):
        kind = kind.get_pointee() if kind.kind == TypeKind.POINTER else kind.get_named_type()
    return kind if kind.kind in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO) else canonical


def constants(kit, version, listed):
    """The type and value of each constant; those that do not compile are left out."""
    tail = "".join(
        f"enum _deferlwf_{index} : unsigned long long {{ "
        f"_deferlwf_value_{index} = (unsigned long long)({name}), _deferlwf_size_{index} = sizeof({name}), "
        f"_deferlwf_sign_{index} = (__typeof__({name}))-1 < (__typeof__({name}))1 }};\n"
        for index, name in enumerate(listed)
    )
    unit, wrong = kit.parse(version, tail)
    found = {}
    for cursor in unit.cursor.get_children():
        if cursor.kind != CursorKind.ENUM_DECL or not cursor.spelling.startswith("_deferlwf_"):
            continue
        index = int(cursor.spelling.removeprefix("_deferlwf_"))
        if index in wrong:
            continue
        value, size, signed = (child.enum_value for child in cursor.get_children())
        value &= (1 << 64) - 1
        if signed and value >> 63:
            value -= 1 << 64
        found[listed[index]] = [f"{'i' if signed else 'u'}{size * 8}", value]
    return found


def enumeration(name, names):
    """The enumerators of an enumeration."""
    kind = names.type_of(name)
    if kind is None or kind.get_canonical().kind != TypeKind.ENUM:
        return None
    children = kind.get_canonical().get_declaration().get_children()
    return {child.spelling: child.enum_value for child in children if child.kind == CursorKind.ENUM_CONSTANT_DECL}


def kept(pairs):
    return {name: facts for name, facts in pairs if facts is not None}


def main(library, table, family, arch, include, scratch):
    cindex.Config.set_library_file(library)
    listed = json.loads(pathlib.Path(table).read_text())
    include, scratch = pathlib.Path(include), pathlib.Path(scratch)
    kit = Kit(include, family, arch, scratch)
    newest = VERSIONS[family][-1][1]
    names = Names(kit.parse(newest)[0])
    facts = {
        "structs": kept((name, record(name, names)) for name in listed["structs"]),
        "enums": kept((name, enumeration(name, names)) for name in listed["enums"]),
        "constants": constants(kit, newest, list(listed["constants"])),
        "scalars": {
            name: abi(kind) for name in listed["scalars"] if (kind := names.type_of(name)) is not None
        },
        "functions": kept((name, function(name, names)) for name in listed["functions"]),
        "callbacks": kept((name, callback(name, names)) for name in listed["callbacks"]),
    }
    since(kit, family, facts)
    json.dump(facts, sys.stdout)


def since(kit, family, facts):
    """Adds the first version that has each declaration, where it is not the oldest, and sizes where they differ."""
    open_functions, open_constants = set(facts["functions"]), set(facts["constants"])
    open_records = set(facts["structs"])
    open_fields = {(name, field["name"]) for name in facts["structs"] for field in facts["structs"][name]["fields"]}
    sizes = {}
    for index, (version, flags) in enumerate(VERSIONS[family]):
        unit, _ = kit.parse(flags)
        names = Names(unit)
        marks = {} if index == 0 else {"since": version}
        present = {name for name in open_functions if function(name, names)}
        for name in present:
            facts["functions"][name] |= marks
        open_functions -= present
        if family != "ndis":
            continue
        present = set(constants(kit, flags, sorted(open_constants)))
        for name in present:
            facts["constants"][name] += marks.values()
        open_constants -= present
        for name in facts["structs"]:
            older = record(name, names)
            if older is None:
                continue
            if name in open_records:
                facts["structs"][name] |= marks
                open_records.discard(name)
            history = sizes.setdefault(name, [])
            if not history or history[-1][1] != older["size"]:
                history.append([version, older["size"]])
            here = {(name, field["name"]) for field in older["fields"]} & open_fields
            for field in facts["structs"][name]["fields"]:
                if (name, field["name"]) in here:
                    field |= marks
            open_fields -= here
    for name, history in sizes.items():
        if len(history) > 1:
            facts["structs"][name]["sizes"] = history


if __name__ == "__main__":
    main(*sys.argv[1:])
