"""Images without a registry: the base from the distribution's packages, ours from the shipped Dockerfile.

An image is a docker-archive, which containerd imports.
"""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

from tests.kubernetes.lab.build import cache

TREE = Path(__file__).parents[3]
BASE = "docker.io/library/debian:bookworm-slim"
AGENT, AGGREGATOR = "docker.io/plumbline/agent:test", "docker.io/plumbline/aggregator:test"
PAUSE, COREDNS = "docker.io/lab/pause:test", "docker.io/lab/coredns:test"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# What the published slim image leaves out too.
_NOT_IN_BASE = (
    "./var/cache/apt/*",
    "./var/lib/apt/lists/*",
    "./usr/share/doc/*",
    "./usr/share/man/*",
    "./usr/share/locale/*",
)


class CannotBuildImage(RuntimeError):
    """The message has the end of what the builder said."""


def build(target: str, name: str, archive: Path) -> None:
    """A target of the Dockerfile. Raises CannotBuildImage."""
    _make_base()
    # The same content has the same time, so that it is the same image.
    stated = ["--build-arg", f"BASE={BASE}", "--target", target, "--timestamp", "0", "--tag", name]
    # For machines whose way to the package index is checked against authorities of their own.
    trusted = ["--volume", f"{_AUTHORITIES}:/run/authorities.crt:ro", "--env", "PIP_CERT=/run/authorities.crt"]
    _buildah("bud", "--quiet", "--pull-never", "--layers", *stated, *trusted, str(TREE))
    archive.unlink(missing_ok=True)
    _buildah("push", "--quiet", name, f"docker-archive:{archive}:{name}")


def pack(name: str, archive: Path, entrypoint: str, program: Path) -> None:
    """An image of one static program: no builder is needed for that."""
    layer = _tar({entrypoint: program.read_bytes()}, mode=0o755)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": [entrypoint]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config), "manifest.json": json.dumps(manifest)}
    archive.write_bytes(_tar({"layer.tar": layer, **{key: text.encode() for key, text in files.items()}}, mode=0o644))


def _make_base() -> None:
    """Only where nobody has brought it: pulled from a registry it is the same to us."""
    if _buildah("images", "--quiet", BASE, check=False).strip():
        return
    place = cache() / "base"
    root = place / "root"
    if not (root / "etc" / "os-release").exists():
        place.mkdir(parents=True, exist_ok=True)
        _run("nice", "debootstrap", "--variant=minbase", "bookworm", str(root))
    excluded = [f"--exclude={one}" for one in ("./dev/*", "./proc/*", "./sys/*", *_NOT_IN_BASE)]
    _run("tar", "--create", "--one-file-system", f"--file={place / 'root.tar'}", f"--directory={root}", *excluded, ".")
    (place / "Dockerfile").write_text('FROM scratch\nADD root.tar /\nCMD ["bash"]\n')
    _buildah("bud", "--quiet", "--pull-never", "--tag", BASE, str(place))


def _buildah(*arguments: str, check: bool = True) -> str:
    store = [f"--root={cache() / 'store'}", f"--runroot={cache() / 'store-run'}"]
    return _run("nice", "-n", "19", "buildah", *store, *arguments, check=check)


def _run(*command: str, check: bool = True) -> str:
    # No daemon, no namespaces and no overlays: it builds wherever there is root.
    environment = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800)
    if check and done.returncode:
        raise CannotBuildImage(f"{' '.join(command)}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.lstrip("/"))
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()
