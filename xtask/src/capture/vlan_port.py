"""An adapter for one VLAN, in user space, so that no kernel module is needed.

Usage: vlan_port.py ADAPTER NAME TAGS

Creates the TAP adapter NAME. What it sends leaves through ADAPTER with the VLAN tags TAGS (hexadecimal, four bytes
each, outermost first); what ADAPTER receives with these tags arrives at NAME without them.
"""

import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x1002
SOL_PACKET = 263
PACKET_AUXDATA = 8
VLAN_VALID = 0x10  # of tpacket_auxdata.tp_status
ETH_P_ALL = 3
ADDRESSES = 12  # bytes before the first tag


def receive(raw):
    """Receives a frame as it was on the wire: the kernel takes the outermost tag out. None for what we send."""
    data, ancillary, _, address = raw.recvmsg(65535, socket.CMSG_SPACE(20))
    if address[2] == socket.PACKET_OUTGOING:
        return None
    for level, kind, value in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value)
            if status & VLAN_VALID:
                data = data[:ADDRESSES] + struct.pack("!HH", tpid, tci) + data[ADDRESSES:]
    return data


def main(adapter, name, tags):
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    raw.bind((adapter, ETH_P_ALL))
    behind = ADDRESSES + len(tags)
    while True:
        for ready in select.select([tap, raw], [], [])[0]:
            if ready is tap:
                frame = os.read(tap, 65535)
                raw.send(frame[:ADDRESSES] + tags + frame[ADDRESSES:])
            elif (frame := receive(raw)) and frame[ADDRESSES:behind] == tags:
                # A further tag belongs to another port.
                if frame[behind : behind + 2] not in (b"\x81\x00", b"\x88\xa8"):
                    try:
                        os.write(tap, frame[:ADDRESSES] + frame[behind:])
                    except OSError:
                        pass  # not up yet: as with any adapter, the frame is lost


main(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))
