"""The programs that the lab runs, built from their published Go modules once, then kept in a cache.

`python -m tests.kubernetes.lab.build` builds what is missing and says how long it took.
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

KUBERNETES = "1.34.4"
# Program: module, version, package.
OTHERS = {
    "etcd": ("go.etcd.io/etcd/server/v3", "v3.6.16", "go.etcd.io/etcd/server/v3"),
    "coredns": ("github.com/coredns/coredns", "v1.14.7", "github.com/coredns/coredns"),
    "helm": ("helm.sh/helm/v3", "v3.22.0", "helm.sh/helm/v3/cmd/helm"),
    "kwok": ("sigs.k8s.io/kwok", "v0.7.0", "sigs.k8s.io/kwok/cmd/kwok"),
}
# kwok is for a bench alone, which builds it itself.
PROGRAMS = ("kubernetes", "pause", "etcd", "coredns", "helm")
_HERE = Path(__file__).parent
_NEWEST_GO_OF_DEBIAN = "the lab needs Go 1.24 or later on PATH (go.dev/dl); or give the cluster to use as $KUBECONFIG"


class CannotBuild(RuntimeError):
    """The message says what is missing, or the end of what the compiler said."""


def cache() -> Path:
    return Path(os.environ.get("PLUMBLINE_LAB_CACHE") or Path.home() / ".cache" / "plumbline-lab")


def program(name: str) -> Path:
    """Where it is, whether or not it was built."""
    return cache() / "bin" / name


def build_missing(names: tuple[str, ...] = PROGRAMS) -> None:
    """Raises CannotBuild."""
    for name in names:
        stamp = program(name).with_suffix(".version")
        if program(name).exists() and stamp.exists() and stamp.read_text() == _version(name):
            continue
        began = time.monotonic()
        program(name).parent.mkdir(parents=True, exist_ok=True)
        _build(name)
        stamp.write_text(_version(name))
        print(f"lab: built {name} {_version(name)} in {time.monotonic() - began:.0f} s", flush=True)


def _version(name: str) -> str:
    if name == "kubernetes":
        return KUBERNETES
    return OTHERS[name][1] if name in OTHERS else "1"


def _build(name: str) -> None:
    """Each in a main module of our own, so that what its own module replaces does not bind us."""
    source = cache() / "src" / name
    source.mkdir(parents=True, exist_ok=True)
    if name in OTHERS:
        module, version, package = OTHERS[name]
        (source / "tools.go").write_text(f'//go:build tools\n\npackage tools\n\nimport _ "{package}"\n')
        (source / "go.mod").write_text(f"module lab\n\ngo 1.24\n\nrequire {module} {version}\n")
        _go(source, "mod", "tidy", "-e")
    else:
        package = "."
        shutil.copy(_HERE / f"{name}.go", source / "main.go")
        (source / "go.mod").write_text(_kubernetes_module() if name == "kubernetes" else "module lab\n\ngo 1.24\n")
        if name == "kubernetes":
            _go(source, "mod", "tidy", "-e")
    _go(source, "build", "-trimpath", "-ldflags", _linker_flags(name), "-o", str(program(name)), package)


def _kubernetes_module() -> str:
    """Its own go.mod points at directories of its repository for 31 modules: here they are their published versions."""
    cache().mkdir(parents=True, exist_ok=True)
    told = json.loads(_go(cache(), "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"))
    text = Path(told["GoMod"]).read_text()
    go = re.search(r"^go .*$", text, re.MULTILINE)
    staged = re.findall(r"^\s*(k8s\.io/\S+) => \./staging", text, re.MULTILINE)
    if go is None or not staged:
        raise CannotBuild(f"the go.mod of Kubernetes {KUBERNETES} has another form than expected")
    published = KUBERNETES.replace("1.", "0.", 1)
    replaced = "".join(f"\t{one} => {one} v{published}\n" for one in staged)
    return f"module lab\n\n{go.group()}\n\nrequire k8s.io/kubernetes v{KUBERNETES}\n\nreplace (\n{replaced})\n"


def _linker_flags(name: str) -> str:
    """Nodes and clients of Kubernetes compare versions, so it must know its own."""
    if name != "kubernetes":
        return "-s -w"
    known = {"gitVersion": f"v{KUBERNETES}", "gitMajor": "1", "gitMinor": KUBERNETES.split(".")[1]}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return "-s -w " + " ".join(f"-X {one}.{key}={value}" for one in packages for key, value in known.items())


def _go(directory: Path, *arguments: str) -> str:
    if shutil.which("go") is None:
        raise CannotBuild(_NEWEST_GO_OF_DEBIAN)
    command = ["nice", "-n", "19", "go", *arguments]
    done = subprocess.run(command, cwd=directory, env=_environment(os.environ), capture_output=True, text=True)
    if done.returncode:
        raise CannotBuild(f"go {' '.join(arguments[:2])} in {directory}: {done.stderr[-2000:]}")
    return done.stdout


def _environment(outer: Mapping[str, str]) -> dict[str, str]:
    own = {"GOMODCACHE": str(cache() / "gomod"), "GOCACHE": str(cache() / "gocache"), "CGO_ENABLED": "0"}
    return {**outer, **own, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}


if __name__ == "__main__":
    build_missing()
