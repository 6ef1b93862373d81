"""bpf/ as text: what is compiled, what it includes, and the reasons that it declares."""

import re
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "bpf"
PARTS = (
    "types.h",
    "maps.c",
    "counting.c",
    "requests.c",
    "packet.c",
    "ordering.c",
    "protocols/http/state.c",
    "protocols/http/pairs.c",
    "protocols/http/lines.c",
    "protocols/http/names.c",
    "protocols/http/window.c",
    "protocols/http/program.c",
    "protocols/http/repeat.c",
    "protocols/dns.c",
    "bytes.c",
    "connection.c",
    "meeting.c",
    "recognition.c",
    "protocols/tls.c",
    "datagrams.c",
    "protocols/quic.c",
    "traffic.c",
    "oom.c",
)
SHAPE = "shape_of_"
STRUCTS = ("flow_seen", "name_seen", "listener_seen", "dns_seen", "oom_kill", "quic_seen", "server_hello_seen")


def joined_source() -> str:
    """The parts as one text: BCC rewrites map calls in its main text only. Marks keep the files' names."""
    shapes = "\n".join(f"BPF_ARRAY({SHAPE}{name}, struct {name}, 1);" for name in STRUCTS)
    parts = [f'#line 1 "{part}"\n{(SOURCES / part).read_text().replace("#pragma once", "")}' for part in PARTS]
    return "\n".join([*parts, '#line 1 "shapes"', shapes])


def reasons() -> dict[str, list[str]]:
    """The names behind `losses`, in order, read from where they are declared."""
    text = (SOURCES / "types.h").read_text()
    found = {}
    for macro in ("LOSSES", "DROPS"):
        body = text.split(f"#define {macro}(X)", 1)[1].split("\n\n", 1)[0]
        found[macro.lower()] = re.findall(r"X\((\w+)\)", body)
    return found


def headers() -> str:
    """What the parts include."""
    return "\n".join(path.read_text() for path in sorted((SOURCES / "include").rglob("*.h")))
