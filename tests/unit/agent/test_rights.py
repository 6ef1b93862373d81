"""Which capabilities are missing, and what is as good as another one."""

from agent.rights import READING, WATCHING, are_missing, lacking


def status(*bits: int) -> str:
    return f"Name:\tplumb\nCapPrm:\t{2**41 - 1:016x}\nCapEff:\t{sum(1 << bit for bit in bits):016x}\nCapBnd:\t0\n"


def test_what_is_missing_is_named() -> None:
    assert lacking(WATCHING, status(39, 38, 12)) == []
    assert lacking(WATCHING, status(39, 12)) == ["CAP_PERFMON"]
    assert lacking((*WATCHING, *READING), status()) == [
        "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH",
    ]  # fmt: skip


def test_what_includes_another_one_is_as_good() -> None:
    assert lacking(WATCHING, status(21, 12)) == []
    assert lacking(WATCHING, status(21)) == ["CAP_NET_ADMIN"]
    assert lacking(READING, status(1, 19)) == []


def test_the_clause() -> None:
    assert are_missing(["CAP_BPF"]) == "CAP_BPF is missing"
    assert are_missing(["CAP_BPF", "CAP_PERFMON"]) == "CAP_BPF and CAP_PERFMON are missing"
    assert are_missing(["a", "b", "c"]) == "a, b and c are missing"
