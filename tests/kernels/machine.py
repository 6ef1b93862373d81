"""A guest with another kernel, by software emulation. It has its files in its memory and a clock of its own.

The clock goes on by one nanosecond an instruction, and leaps over the time in which all sleep. So a busy host makes a
guest last longer and changes nothing in it: a second in there is as much work as on any day.
"""

import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.kernels import files
from tests.kernels.archive import Archive
from tests.kernels.packages import Kernel

SHARED = Path("/run/shared")
_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8
mkdir -p /proc /sys /dev /run /tmp /root /var/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for place in /run /tmp /dev/shm; do mount -t tmpfs tmpfs $place; done
mount -t securityfs securityfs /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p {shared}
ip link set lo up
cd {checkout}
{words}
echo $? > {shared}/status
stty -F {port} raw -echo
busybox tar -c -C {shared} . > {port}
busybox poweroff -f
"""


class GuestFailed(RuntimeError):
    """The guest did not end by itself, or without a status; the message has the end of its console."""


@dataclass(frozen=True, slots=True)
class Machine:
    """How much the guest gets, and what it is."""

    name: str = "x86_64"
    # AVX came into this emulation with QEMU 7.2, and there numpy's sort of 64-bit numbers gives them unsorted.
    kind: tuple[str, ...] = ("-machine", "q35", "-cpu", "max,avx=off,avx2=off")
    console: str = "ttyS0"
    port: str = "ttyS1"
    # What its second serial port is.
    back: tuple[str, ...] = ("-serial", "chardev:back")
    options: str = "tsc=reliable"
    cores: int = 1
    memory_mb: int = 3072


X86 = Machine()
ARM = Machine(
    "aarch64",
    ("-machine", "virt", "-cpu", "cortex-a72"),
    console="ttyAMA0",
    port="ttyS0",
    back=("-device", "pci-serial,chardev=back"),
    options="",
)


def run(kernel: Kernel, words: str, shared: Path, seconds: float, machine: Machine = X86, options: str = "") -> str:
    """Boots the kernel, runs `words` in this checkout there, and gives its console; `shared` gets what it left in
    SHARED. Raises GuestFailed.
    """
    console, image, back = shared / "console", shared / "files", shared / "back"
    init = _INIT.format(shared=SHARED, checkout=files.CHECKOUT, words=words, port=f"/dev/{machine.port}")
    _write(image, kernel, init, machine.name)
    # Walls between address spaces cost an emulated machine much, and nobody is in there with us.
    append = f"console={machine.console} panic=-1 mitigations=off {machine.options} {options}"
    command = [
        *("nice", "-n", "10", f"qemu-system-{machine.name}", *machine.kind, "-accel", "tcg,thread=single"),
        *("-icount", "shift=0,sleep=off", "-rtc", "clock=vm"),
        *("-smp", str(machine.cores), "-m", str(machine.memory_mb), "-nodefaults", "-no-user-config", "-no-reboot"),
        *("-display", "none", "-serial", f"file:{console}", "-chardev", f"file,id=back,path={back}", *machine.back),
        *("-kernel", str(kernel.image), "-initrd", str(image), "-append", append),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise GuestFailed(f"the guest still runs after {seconds} s\n{_tail(console)}") from None
    finally:
        image.unlink()
    if done.returncode or not back.exists() or not back.stat().st_size:
        raise GuestFailed(f"the guest ended with {done.returncode} {done.stderr}\n{_tail(console)}")
    with tarfile.open(back) as answer:
        answer.extractall(shared)
    return console.read_text(errors="replace")


def _write(image: Path, kernel: Kernel, init: str, machine: str) -> None:
    with image.open("wb") as sink:
        archive = Archive(sink)
        archive.write("init", 0o100755, init.encode())
        files.fill(archive, kernel, machine)
        archive.close()


def _tail(console: Path) -> str:
    return "\n".join(console.read_text(errors="replace").splitlines()[-40:]) if console.exists() else ""
