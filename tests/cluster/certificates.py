"""A certificate authority of the tests: who trusts it trusts what it signs. It is made anew each time."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split()
EXPIRED = -1


class Authority:
    """`certificate` is what clients are to trust. A stranger's is as good, but nobody was told of it."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._key, self.certificate = directory / f"{name}.key", directory / f"{name}.pem"
        self._run(
            "req", "-x509", *_KEY, "-days", 2, "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate
        )

    def sign(self, file: str, names: Sequence[str], days: int = 2) -> None:
        """Writes FILE.pem and FILE.key, for these names; `EXPIRED` days make one that is over."""
        request, key, made = (self._directory / f"{file}.{end}" for end in ("csr", "key", "pem"))
        for_names = "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)
        self._run("req", "-new", *_KEY, "-subj", f"/CN={file}", "-addext", for_names, "-keyout", key, "-out", request)
        signing = ["-CA", self.certificate, "-CAkey", self._key, "-copy_extensions", "copy"]
        self._run("x509", "-req", "-in", request, *signing, "-days", days, "-out", made)

    @staticmethod
    def _run(*words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], capture_output=True, check=True)
