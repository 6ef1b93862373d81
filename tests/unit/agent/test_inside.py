"""What a host takes as inside: private ranges, what it has routes to, its own addresses, what the operator states."""

from ipaddress import IPv6Address

from agent.identity.inside import MOST_ROUTES, always_inside, routed, whole

HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
V4 = bytes(10) + b"\xff\xff"
DEFAULT6 = (
    "0" * 32 + " 00 " + "0" * 32 + " 00 fe80000000000000000000000000beef 00000400 00000001 00000000 00450003 eth0\n"
)


def row(destination: str, mask: str, gateway: str = "00000000", flags: str = "0003") -> str:
    return f"eth0\t{destination}\t{gateway}\t{flags}\t0\t0\t0\t{mask}\t0\t0\t0\n"


def row6(address: str, length: int, flags: str = "00000001") -> str:
    nowhere = "0" * 32
    return f"{address} {length:02x} {nowhere} 00 {nowhere} 00000100 00000001 00000000 {flags} eth0\n"


def contains(ranges: list[tuple[bytes, int]], address: bytes) -> bool:
    return whole([address], ranges) == []


def test_private_ranges_loopback_and_what_is_stated() -> None:
    ranges = always_inside(["203.0.113.9/24", "2001:db8::/32"])
    inside = (
        b"\x0a\1\2\3",
        b"\xac\x1f\0\1",
        b"\xc0\xa8\1\1",
        b"\x64\x40\0\1",
        b"\xa9\xfe\0\1",
        b"\x7f\1\2\3",
        b"\xcb\0\x71\xff",
    )
    assert all(contains(ranges, V4 + address) for address in inside)
    assert not any(contains(ranges, V4 + address) for address in (b"\xac\x20\0\1", b"\x0b\0\0\1", b"\xcb\0\x72\1"))
    for text, expected in (("fd00::1", True), ("fe80::1", True), ("2001:db8::1", True), ("2001:db9::1", False)):
        assert contains(ranges, IPv6Address(text).packed) is expected


def test_what_the_host_has_a_route_to_but_for_the_way_to_everywhere() -> None:
    # 198.51.100.0/24 on the link, 203.0.113.0/24 by a gateway; both ways to everywhere, whole and in halves.
    route = HEADER + row("006433C6", "00FFFFFF") + row("007100CB", "00FFFFFF", "0100000A")
    route += row("00000000", "00000000", "0100000A") + row("00000080", "00000080", "0100000A")
    # Neither down nor a reject.
    route += row("00640CC0", "00FFFFFF", flags="0000") + row("00650CC0", "00FFFFFF", flags="0201")
    ipv6 = (
        DEFAULT6
        + row6("20010db8000100000000000000000000", 48)
        + row6("20010db8000200000000000000000000", 48, "00200200")
    )
    ipv6 += row6("ff" + "0" * 30, 8)
    assert routed(route, ipv6) == sorted(
        [
            (V4 + b"\xc6\x33\x64\0", 120),
            (V4 + b"\xcb\0\x71\0", 120),
            (bytes.fromhex("20010db8000100000000000000000000"), 48),
        ]
    )


def test_a_host_that_knows_the_routes_of_the_internet_knows_nothing_of_ours() -> None:
    many = "".join(row(f"00{number & 255:02X}{number >> 8:02X}64", "00FFFFFF") for number in range(MOST_ROUTES + 1))
    assert routed(HEADER + many, "") == []
    assert len(routed(HEADER + many[: len(many) // 2], "")) > 100


def test_own_addresses_that_are_in_no_range() -> None:
    ranges = always_inside([])
    assert whole([V4 + b"\x0a\0\0\1", V4 + b"\xc6\x33\x64\x07"], ranges) == [(V4 + b"\xc6\x33\x64\x07", 128)]
