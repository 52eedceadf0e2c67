"""Reads WPP messages of a trace log by nothing but TMF files, and holds the TMF files to the strict forms of public readers.

    wpp.py LOG TMF-FOLDER JOINED-TMF EXPECTED-JSON [MORE-TMF-FILES]
    wpp.py --printed LOG TMF-FOLDER LINES

It shares no code with what writes either. With --printed, LINES is what lwf-lab printed while it wrote LOG, a JSON object a
line: every message has to be there, in the same order, with the same time, thread, function, level and values. Else every message of the source that EXPECTED is about has to have the values that stand
there, in that order, once for each time that the source has written them.
"""

import ipaddress
import json
import pathlib
import re
import struct
import sys
import uuid

# One blank between parts, braces always, a symbol that ends in the line, LEVEL, FLAGS and FUNC in this order.
BLOCK = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) (\S+) // SRC=([^\s/\\]+) MJ= MN=")
MESSAGE = re.compile(r'#typev ([A-Za-z_]\w*?_rs)(\d+) (\d+) "%0([^"\\]*)" //   LEVEL=(TRACE_LEVEL_[A-Z]+) FLAGS=(\w+) FUNC=(\w+)')
ARGUMENT = re.compile(r"([A-Za-z_]\w*), Item([A-Za-z]\w*)(?:\(([\w,]+)\))? -- (\d+)")
ENUM = re.compile(r"#enumv (\w+)")
MEMBER = re.compile(r"(\w+),0x([0-9a-f]+)")
USE = re.compile(r"%(?:%|!FUNC!|(\d+)!(d|u|x|p|s|I64d|I64u|I64x)!)")
LEVELS = {"CRITICAL", "ERROR", "WARNING", "INFORMATION", "VERBOSE"}
STYLES = {
    "Long": "dux", "LongLong": ["I64d"], "ULongLong": ["I64u"], "LongLongX": ["I64x"], "Ptr": "p",
}
FIXED = {"Long": 4, "Long without sign": 4, "LongLong": 8, "ULongLong": 8, "LongLongX": 8, "Ptr": 8, "ListLong": 4, "NTSTATUS": 4,
         "NDIS_STATUS": 4, "NDIS_OID": 4, "Guid": 16, "IPAddr": 4, "IPV6Addr": 16, "MACAddr": 6, "Port": 2, "Enum": 4,
         "FlagsEnum": 4}
COUNTED = {"PString", "PWString", "HEXDump"}


def fail(why):
    sys.exit(f"error: {why}")


def formats(path):
    """The messages of a TMF file by GUID and number, each with a list of arguments."""
    content = path.read_bytes()
    try:
        content = content.decode("ascii")
    except UnicodeDecodeError:
        fail(f"{path}: not ASCII")
    if "\r" in content or not content.endswith("\n"):
        fail(f"{path}: lines end otherwise than with a line feed")
    lines = enumerate(content.splitlines(), 1)
    messages, enums, block = {}, {}, None

    def must(pattern, line, number):
        match = pattern.fullmatch(line)
        if not match:
            fail(f"{path}:{number}: not in the strict form: {line}")
        return match

    def inside():
        number, line = next(lines)
        if line != "{":
            fail(f"{path}:{number}: no opening brace on a line of its own")
        for number, line in lines:
            if line == "}":
                return
            yield number, line
        fail(f"{path}: no closing brace")

    for number, line in lines:
        if line.startswith("//"):
            continue
        if line.startswith("#typev"):
            match = must(MESSAGE, line, number)
            if block is None or match[5].removeprefix("TRACE_LEVEL_") not in LEVELS:
                fail(f"{path}:{number}: no GUID above, or an unknown level")
            guid, _, source = block
            stem = re.sub(r"\W", "_", source)
            if match[1] != stem:
                fail(f"{path}:{number}: the symbol does not begin with the file's name")
            arguments = []
            for at, argument in inside():
                name, item, members, place = must(ARGUMENT, argument, at).groups()
                if int(place) != 10 + len(arguments):
                    fail(f"{path}:{at}: arguments are numbered from 10 on, in order")
                if item not in FIXED and item not in COUNTED:
                    fail(f"{path}:{at}: Item{item} is none that wpp writes")
                if (item in ("ListLong", "Enum", "FlagsEnum")) != (members is not None):
                    fail(f"{path}:{at}: brackets where none belong, or none where they do")
                arguments.append([name, item, members])
            text, rest, uses = match[4], "", []
            for use in USE.finditer(text):
                if use[1]:
                    uses.append(int(use[1]))
                    item = arguments[int(use[1]) - 10][1]
                    if use[2] not in STYLES.get(item, "s"):
                        fail(f"{path}:{number}: Item{item} shown as {use[2]}")
                    if item == "Long" and use[2] in "ux":
                        # The letter decides.
                        arguments[int(use[1]) - 10][1] = "Long without sign"
            rest = USE.sub("", text)
            if "%" in rest or uses != list(range(10, 10 + len(arguments))):
                fail(f"{path}:{number}: the text does not use each argument once: {text}")
            key = (guid, int(match[3]))
            if key in messages or key[1] < 10:
                fail(f"{path}:{number}: message {key[1]} twice, or below 10")
            messages[key] = (source, text, match[7], arguments, match[5], int(match[2]))
        elif line.startswith("#enumv"):
            name = must(ENUM, line, number)[1]
            if name in enums:
                fail(f"{path}:{number}: {name} twice")
            enums[name] = [(m[1], int(m[2], 16)) for m in (must(MEMBER, line, at) for at, line in inside())]
        else:
            match = must(BLOCK, line, number)
            block = (uuid.UUID(match[1]), match[2], match[3])
    for _, _, _, arguments, _, _ in messages.values():
        for argument in arguments:
            _, item, members = argument
            if item in ("Enum", "FlagsEnum"):
                if members not in enums:
                    fail(f"{path}: no #enumv {members}")
                # Other files may have another one of this name.
                argument[2] = enums[members]
    return messages


def records(log):
    """GUID, number, time, thread and bytes of every message in a log."""
    at = 0
    while at < len(log):
        size, saved = struct.unpack_from("<II", log, at)
        offset = at + 0x48
        while offset + 8 <= at + saved:
            length, kind = struct.unpack_from("<HH", log, offset)
            if kind in (0xC001, 0xC002):
                # The system's own records begin with a version.
                length, = struct.unpack_from("<H", log, offset + 4)
            if length < 8:
                fail(f"a record of {length} bytes")
            if kind == 0x9000:
                number, flags = struct.unpack_from("<HH", log, offset + 4)
                if flags != 0xAA:
                    fail(f"a message with flags {flags:#x}")
                # GUID, time, thread and process.
                guid = uuid.UUID(bytes_le=log[offset + 8:offset + 24])
                stamp, thread = struct.unpack_from("<QI", log, offset + 24)
                yield guid, number, (stamp, thread), log[offset + 40:offset + length]
            offset += (length + 7) // 8 * 8
        at += size


def value(item, members, data):
    """A value, and how many bytes it has."""
    if item in COUNTED:
        length, = struct.unpack_from("<H", data)
        content = data[2:2 + length]
        if len(content) != length:
            fail("a text that is cut off")
        shown = {"PString": lambda: content.decode("ascii"), "PWString": lambda: content.decode("utf-16-le"),
                 "HEXDump": content.hex}[item]()
        return shown, 2 + length
    length = FIXED[item]
    content = data[:length]
    if len(content) != length:
        fail("a value that is cut off")
    number = int.from_bytes(content, "little")
    if item in ("Long", "LongLong"):
        number = int.from_bytes(content, "little", signed=True)
    elif item == "ListLong":
        number = members.split(",")[number]
    elif item == "Enum":
        number = next(name for name, known in members if known == number)
    elif item == "FlagsEnum":
        number = [name for name, known in members if number & known == known]
    elif item == "Guid":
        number = str(uuid.UUID(bytes_le=content))
    elif item in ("IPAddr", "IPV6Addr"):
        number = str(ipaddress.ip_address(content))
    elif item == "MACAddr":
        number = content.hex(":")
    elif item == "Port":
        number = int.from_bytes(content, "big")
    return number, length


def whole(value):
    """A long text that is written as what repeats in it."""
    return value["repeat"] * value["times"] + value["then"] if "repeat" in value else value


def fields_of(messages, guid, number, data):
    """The format of a message, and its values by name with their items."""
    if (guid, number) not in messages:
        fail(f"no format for message {number} of {guid}")
    message = messages[guid, number]
    fields = {}
    for name, item, members in message[3]:
        fields[name], length = value(item, members, data)
        data = data[length:]
    if data:
        fail(f"{message[0]}: {len(data)} bytes are left behind {message[1]!r}")
    return message, fields


def folder_formats(folder):
    messages = {}
    for path in sorted(folder.glob("*.tmf")):
        found = formats(path)
        if {str(guid) for guid, _ in found} != {path.stem}:
            fail(f"{path}: not named after its GUID")
        messages |= found
    return messages


def as_printed(item, number):
    """A value as lwf-lab prints it."""
    if item in ("NTSTATUS", "NDIS_STATUS", "NDIS_OID"):
        return f"{number:#010x}"
    return number


def printed():
    log, folder, lines = map(pathlib.Path, sys.argv[2:5])
    messages = folder_formats(folder)
    wanted = [json.loads(line) for line in lines.read_text().splitlines()]
    wanted = [line for line in wanted if "text" in line]
    found = sorted(records(log.read_bytes()), key=lambda record: record[2][0])
    if len(found) != len(wanted):
        fail(f"{len(found)} messages, lwf-lab printed {len(wanted)}")
    for (guid, number, (stamp, thread), data), line in zip(found, wanted):
        (source, _, function, arguments, level, at), fields = fields_of(messages, guid, number, data)
        items = {name: item for name, item, _ in arguments}
        got = {
            "time_ns": stamp,
            "thread": thread,
            "name": f"{source}:{at}",
            "function": function,
            "level": ["CRITICAL", "ERROR", "WARNING", "INFORMATION", "VERBOSE"].index(level.removeprefix("TRACE_LEVEL_")) + 1,
            "fields": {name: as_printed(items[name], number) for name, number in fields.items()},
        }
        for key, number in got.items():
            if line.get(key) != number:
                fail(f"{key} of {line}: {number}")
    print(f"{len(found)} messages, {len({(m[0], m[1]) for m in found})} of {len(messages)} formats")


def main():
    if sys.argv[1] == "--printed":
        return printed()
    log, folder, joined, expected = map(pathlib.Path, sys.argv[1:5])
    messages = folder_formats(folder)
    if formats(joined) != messages:
        fail(f"{joined}: not what the files of {folder} say")
    more = [formats(pathlib.Path(path)) for path in sys.argv[5:]]
    if not all(more):
        fail("a TMF file has no message")
    expected = json.loads(expected.read_text(), object_hook=whole)
    read, blocks = 0, []
    for guid, number, _, data in records(log.read_bytes()):
        (source, _, function, _, _, _), fields = fields_of(messages, guid, number, data)
        read += 1
        if source == expected["source"]:
            if number == expected["messages"][0]["number"]:
                blocks.append([])
            blocks[-1].append({"number": number, "function": function, "fields": fields})
    if not blocks:
        fail("no message of the source")
    for block in blocks:
        for got, want in zip(block, expected["messages"]):
            if got != want:
                fail(f"\n  {got} instead of\n  {want}")
        if len(block) != len(expected["messages"]):
            fail(f"{len(block)} messages in place of {len(expected['messages'])}")
    items = {item for message in messages.values() for _, item, _ in message[3]}
    others = sum(map(len, more))
    print(f"{read} messages of {len(messages)} formats, {others} formats of other files, {len(items)} kinds of values in them, {len(blocks)} times all values")


main()
