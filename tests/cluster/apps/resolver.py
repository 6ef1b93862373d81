"""A DNS server over UDP and TCP, from a zone in a JSON file, that counts what it answers.

resolver.py --zone FILE --counts FILE ADDRESS...

Zone: {"name": {"A": [...], "AAAA": [...], "CNAME": "other", "rcode": 2, "silent": true, "truncate": true,
"spread": an IPv4 network in which each name has an address of its own, as far as it goes}}.
"*.name" stands for all names below it that are not there themselves; what there is not at all: NXDOMAIN. SIGHUP reads
the zone again; SIGUSR1 and the end write the counts:
{"queries": [[client, transport, name, type, rcode, count]]}; the rcode of a silent name is -1.
"""

import argparse
import asyncio
import collections
import ipaddress
import json
import signal
import struct
import zlib
from pathlib import Path

A, CNAME, AAAA = 1, 5, 28
SERVFAIL, NXDOMAIN = 2, 3
TRUNCATED, AUTHORITATIVE_ANSWER = 0x0200, 0x8480


class Zone:
    def __init__(self, path, counts):
        self.path, self.counts_path = path, counts
        self.counts = collections.Counter()
        self.read()

    def read(self):
        self.names = {name.lower(): records for name, records in json.loads(self.path.read_text()).items()}

    def write_counts(self):
        rows = [[*key, count] for key, count in sorted(self.counts.items())]
        fresh = self.counts_path.with_suffix(".new")
        fresh.write_text(json.dumps({"queries": rows}))
        fresh.replace(self.counts_path)

    def answer(self, query, client, transport):
        """The response to one query, or None when the zone says nothing at all."""
        identity, flags, questions = struct.unpack_from("!HHH", query)
        if not questions:
            return None
        name, end = read_name(query)
        kind = struct.unpack_from("!H", query, end)[0]
        records, chain = self.follow(name)
        rcode, answers = self.records(records, kind, chain)
        silent = bool(records and records.get("silent"))
        self.counts[client, transport, name, kind, -1 if silent else rcode] += 1
        if silent:
            return None
        bits = AUTHORITATIVE_ANSWER | (flags & 0x0100) | rcode
        if records and records.get("truncate") and transport == "udp":
            answers, bits = [], bits | TRUNCATED
        header = struct.pack("!HHHHHH", identity, bits, 1, len(answers), 0, 0)
        return header + query[12 : end + 4] + b"".join(answers)

    def follow(self, name):
        """The records at the end of the aliases, and the aliases on the way."""
        chain, records = [], self.of(name)
        while records and "CNAME" in records and len(chain) < 8:
            chain.append((name, records["CNAME"]))
            name = records["CNAME"].lower()
            records = self.of(name)
        return records, [*chain, (name, None)]

    def of(self, name):
        """Its records, or those of the nearest wildcard above it; None for a name that there is not."""
        records, parent = self.names.get(name), name
        while records is None and "." in parent:
            parent = parent.partition(".")[2]
            records = self.names.get(f"*.{parent}")
        return records

    def records(self, records, kind, chain):
        owner = chain[-1][0]
        answers = [record(alias, CNAME, write_name(target)) for alias, target in chain[:-1]]
        if records is None:
            return NXDOMAIN, answers
        if records.get("rcode"):
            return records["rcode"], []
        addresses = records.get({A: "A", AAAA: "AAAA"}.get(kind, ""), [])
        if kind == A and "spread" in records:
            network = ipaddress.ip_network(records["spread"])
            addresses = [network[zlib.crc32(owner.encode()) % network.num_addresses]]
        return 0, answers + [record(owner, kind, ipaddress.ip_address(address).packed) for address in addresses]


def record(owner, kind, data, ttl=30):
    return write_name(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def write_name(name):
    return b"".join(bytes((len(label),)) + label.encode("latin-1") for label in name.split(".") if label) + b"\0"


def read_name(message, at=12):
    labels = []
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode("latin-1").lower())
        at += 1 + message[at]
    return ".".join(labels), at + 1


class OverUdp(asyncio.DatagramProtocol):
    def __init__(self, zone):
        self.zone = zone

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        try:
            answer = self.zone.answer(data, address[0], "udp")
        except (IndexError, struct.error):
            return
        if answer is not None:
            self.transport.sendto(answer, address)


async def over_tcp(zone, reader, writer):
    client = writer.get_extra_info("peername")[0]
    try:
        while True:
            size = struct.unpack("!H", await reader.readexactly(2))[0]
            answer = zone.answer(await reader.readexactly(size), client, "tcp")
            if answer is not None:
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
    except (asyncio.IncompleteReadError, IndexError, struct.error, OSError):
        pass
    finally:
        writer.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--zone", required=True, type=Path)
    parser.add_argument("--counts", required=True, type=Path)
    parser.add_argument("addresses", nargs="+")
    options = parser.parse_args()
    zone, loop, ended = Zone(options.zone, options.counts), asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, zone.read)
    loop.add_signal_handler(signal.SIGUSR1, zone.write_counts)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    for address in options.addresses:
        await loop.create_datagram_endpoint(lambda: OverUdp(zone), local_addr=(address, 53))
        await asyncio.start_server(lambda r, w: over_tcp(zone, r, w), address, 53)
    await ended.wait()
    zone.write_counts()


asyncio.run(main())
