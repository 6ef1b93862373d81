"""The user land of another kind of machine: the distribution's packages and the locked Python packages, unpacked.

Nothing is installed or configured, here or in the guest: it needs files only.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.kernels import packages

_DEBIAN_PYTHON = "3.11"
_GLIBC = ("2_17", "2_26", "2_27", "2_28", "2_31", "2_34")


def root(machine: str, names: list[str], suite: str = "bookworm") -> Path:
    """The packages and all that they depend on, below one directory of the cache."""
    place = packages.cache() / machine / "root"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        for name in ("bin", "sbin", "lib"):
            (place / "usr" / name).mkdir(parents=True)
            (place / name).symlink_to(f"usr/{name}")
        for package in packages.with_dependencies(["base-files", *names], suite, machine):
            _unpack(package, place)
        _compile(place)
        (place / "complete").write_text("")
    return place


def site(machine: str, lock: Path) -> Path:
    """What the lock names, for that machine and the distribution's Python."""
    place = packages.cache() / machine / "site"
    if not (place / "complete").exists() or (place / "complete").read_text() != lock.read_text():
        shutil.rmtree(place, ignore_errors=True)
        kinds = [f"--platform=manylinux_{one}_{machine}" for one in _GLIBC] + [f"--platform=manylinux2014_{machine}"]
        pip: list[str] = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        only = ["--only-binary=:all:", "--python-version", _DEBIAN_PYTHON, "--implementation", "cp", *kinds]
        subprocess.run([*pip, *only, "--target", str(place), f"--requirement={lock}"], check=True)
        (place / "complete").write_text(lock.read_text())
    return place


def _unpack(package: Path, place: Path) -> None:
    # dpkg-deb --extract would put directories in the place of our links.
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as opened:
        words = ["tar", "--extract", "--keep-directory-symlink", "--directory", place]
        subprocess.run(words, stdin=opened.stdout, check=True)


def _compile(place: Path) -> None:
    """Python of the same version here does it in a tenth of the time. What cannot be compiled is nothing we import."""
    words = [sys.executable, "-m", "compileall", "-q", "-s", str(place), "-p", "/", str(place / "usr/lib")]
    subprocess.run(words, stdout=subprocess.DEVNULL, check=False)
