"""Reads a trace log with PyPI's etl-parser and dissect.etl: decode.py LOG LINES

LINES is what lwf-lab printed while it wrote LOG: one JSON object for each event. Every event must be in the log, in the
same order, with the same name, times and values; nothing here knows how lwf-lab writes or decodes.
"""

import ipaddress
import json
import struct
import sys
import uuid

from dissect.etl import ETL
from etl.etl import IEtlFileObserver, build_from_stream

log, lines = sys.argv[1:]


class Events(IEtlFileObserver):
    def __init__(self):
        self.events = []

    def on_event_record(self, event):
        self.events.append(event)

    def ignore(self, _):
        pass

    on_trace_record = on_perfinfo_trace = on_system_trace = on_win_trace = ignore


def shown(types, name, value):
    """A value of etl-parser's as lwf-lab prints it."""
    in_type, out_type = types[name]
    if in_type == 14:
        data = bytes(value)
        if out_type != 10:
            return data.hex(":") if len(data) == 6 else data.hex()
        family, port = struct.unpack("<H", data[:2])[0], struct.unpack(">H", data[2:4])[0]
        if family == 2:
            return f"{ipaddress.IPv4Address(data[4:8])}:{port}"
        return f"[{ipaddress.IPv6Address(data[8:24])}]:{port}"
    if out_type in (13, 14, 15):
        return hex(value & 0xFFFFFFFF)
    if in_type == 20:
        return hex(value)
    return value


with open(log, "rb") as file:
    stream = file.read()
with open(lines, encoding="utf-8") as file:
    printed = [json.loads(line) for line in file]
# Messages of WPP have a text; `wpp.py` reads them.
expected = [line for line in printed if "text" not in line]

observer = Events()
build_from_stream(stream).parse(observer)
found = sorted(observer.events, key=lambda event: event.get_timestamp())
if len(found) != len(expected):
    sys.exit(f"etl-parser finds {len(found)} events, lwf-lab printed {len(expected)}")
for event, line in zip(found, expected):
    header = event.source.event_header
    decoded = event.parse_tracelogging()
    types = {
        field.name: (field.tag_in & 0x7F, field.tag_out or 0)
        for field in decoded.scheme.fields
    }
    fields = {name: shown(types, name, value) for name, value in decoded.items()}
    descriptor = header.event_descriptor
    seen = {
        "time_ns": event.get_timestamp(),
        "thread": event.get_thread_id(),
        "name": decoded.get_name(),
        "level": descriptor.Level,
        "opcode": descriptor.Opcode,
        "keywords": descriptor.Keyword,
        "fields": fields,
    }
    for key, value in seen.items():
        if line[key] != value:
            sys.exit(f"etl-parser: {key} of {line}: {value}")

with open(log, "rb") as file:
    etl = ETL(file)
    headers = [record.header for buffer in etl.buffers() for record in buffer]
events = [header for header in headers if type(header).__name__ == "EventHeader"]
if len(events) != len(expected):
    names = sorted({type(header).__name__ for header in headers})
    sys.exit(f"dissect.etl finds {len(events)} events among {names}, lwf-lab printed {len(expected)}")
messages = sum(type(header).__name__ == "MessageTraceHeader" for header in headers)
if messages != len(printed) - len(expected):
    kinds = sorted({type(header).__name__ for header in headers})
    sys.exit(f"dissect.etl finds {messages} messages among {kinds}, lwf-lab printed {len(printed) - len(expected)}")
# It takes the bytes of an event's provider in the order of network protocols.
providers = {str(uuid.UUID(bytes_le=header.provider_id.bytes)) for header in events}
seen = sorted((header.header.TimeDelta, header.thread_id, header.opcode) for header in events)
if seen != sorted((line["time_ns"], line["thread"], line["opcode"]) for line in expected):
    sys.exit("dissect.etl: times, threads or opcodes are others")

names = {line["name"] for line in expected}
print(f"{len(expected)} events of {', '.join(providers)}, {len(names)} kinds: {', '.join(sorted(names))}")
