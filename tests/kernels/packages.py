"""Other kernels, from the distribution's packages: downloaded and unpacked into a cache, never installed.

apt itself does the work, with lists of its own beside this machine's: so every package is held against the checksum
in a signed index. The mirror and the keyring are those that this machine uses already.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_CLASSES = {"x86_64": "amd64", "aarch64": "arm64"}
NEWEST = "newest"
# In newer releases the image is several packages, and lies beside its modules.
_PARTS = ("linux-image", "linux-base", "linux-binary", "linux-modules")
_IMAGES = ("boot/vmlinu?-*", "usr/lib/modules/*/vmlinu?")


class NoKernel(RuntimeError):
    """The kernel's package is not to be had; the message says what was asked for."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel: the image to boot and the directory of its modules."""

    release: str
    image: Path
    modules: Path


def cache() -> Path:
    """Outside of the checkout: it holds hundreds of megabytes, and `make clean` is no reason to fetch them again."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PLUMBLINE_KERNELS", Path(base) / "plumbline-kernels"))


def kernel(version: str, suite: str, machine: str = "x86_64") -> Kernel:
    """The newest package of that version in that suite, from the cache if it is there. Raises NoKernel."""
    place = cache() / machine / version
    if not (place / "complete").exists():
        _fetch(version, suite, _CLASSES[machine], place)
    modules = next((place / "usr/lib/modules").iterdir())
    return Kernel(modules.name, next(image for form in _IMAGES for image in place.glob(form)), modules)


def _fetch(version: str, suite: str, kind: str, place: Path) -> None:
    get, ask = _apt(suite, kind)
    _run([*get, "update"])
    number = re.escape(version) if version != NEWEST else "[0-9]+"
    found = _names(ask, rf"^linux-image-{number}\.[^-]*(-[0-9]+)?-{kind}$")
    if not found:
        raise NoKernel(f"the suite {suite} has no kernel {version} for {kind}")
    rest = found[-1].removeprefix(_PARTS[0])
    shutil.rmtree(place, ignore_errors=True)
    (place / "packages").mkdir(parents=True)
    wanted = [name for part in _PARTS for name in _names(ask, f"^{re.escape(part + rest)}$")]
    _run([*get, "download", *wanted], cwd=place / "packages")
    for package in (place / "packages").iterdir():
        _run(["dpkg-deb", "--extract", str(package), str(place)])
    if (place / "lib").is_dir():  # before the merge of /usr
        (place / "usr/lib").mkdir(parents=True, exist_ok=True)
        (place / "lib/modules").rename(place / "usr/lib/modules")
    shutil.rmtree(place / "packages")
    shutil.rmtree(place / "usr/share", ignore_errors=True)
    release = next((place / "usr/lib/modules").iterdir()).name
    _run(["depmod", "--basedir", str(place / "usr"), release])
    (place / "complete").write_text("")


def with_dependencies(names: list[str], suite: str, machine: str) -> list[Path]:
    """The packages' files for that machine, with those of all that they depend on."""
    get, _ = _apt(suite, _CLASSES[machine])
    home = cache() / "apt" / suite
    (home / "none-installed").write_text("")
    get += ["-o", f"Dir::State::status={home / 'none-installed'}"]
    _run([*get, "update"])
    _run([*get, "--yes", "--no-install-recommends", "--download-only", "install", *names])
    found = home / "cache/archives"
    return [*found.glob(f"*_{_CLASSES[machine]}.deb"), *found.glob("*_all.deb")]


def _apt(suite: str, kind: str) -> tuple[list[str], list[str]]:
    """apt-get and apt-cache with a configuration that touches nothing of this machine's own."""
    home = cache() / "apt" / suite
    for directory in ("lists/partial", "cache/archives/partial"):
        (home / directory).mkdir(parents=True, exist_ok=True)
    (home / "sources.list").write_text(f"deb [signed-by={KEYRING} arch={kind}] {_mirror()} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": home / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": home / "lists",
        "Dir::Cache": home / "cache",
        "APT::Sandbox::User": "root",
        "APT::Architecture": kind,
        "APT::Architectures": kind,
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["apt-get", "-q=2", *words], ["apt-cache", *words]


def _mirror() -> str:
    """Where this machine gets the distribution itself from."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]
    found = _run([*asked, "Label: Debian"]).split()
    if not found:
        raise NoKernel("this machine's apt knows no mirror of Debian")
    return found[0]


def _names(ask: list[str], pattern: str) -> list[str]:
    """Of packages, the newest last."""
    lines = _run([*ask, "search", "--names-only", pattern]).splitlines()
    return sorted((line.split()[0] for line in lines), key=_numbers)


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _run(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoKernel(f"{' '.join(command[:1] + command[-2:])} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
