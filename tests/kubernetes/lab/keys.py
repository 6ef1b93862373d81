"""The certificates of a cluster, and what its programs need to show them: made by openssl, kept with the lab."""

import subprocess
from pathlib import Path

import yaml

DAYS = "30"


class Keys:
    """An authority in a directory. Raises CalledProcessError."""

    def __init__(self, directory: Path, server: str) -> None:
        self.directory, self._server = directory, server
        directory.mkdir(parents=True)
        self._new_key("ca")
        subject = ["-subj", "/CN=lab", "-days", DAYS]
        _openssl("req", "-x509", "-new", "-key", self.key("ca"), *subject, "-out", self.certificate("ca"))
        # Tokens of service accounts are signed with this one.
        self._new_key("accounts")

    def key(self, name: str) -> str:
        return str(self.directory / f"{name}.key")

    def certificate(self, name: str) -> str:
        return str(self.directory / f"{name}.crt")

    def issue(self, name: str, subject: str, *alternatives: str) -> None:
        """For a client and a server, by `subject` and as every one of `alternatives` ("DNS:x", "IP:y")."""
        self._new_key(name)
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        names = ",".join(alternatives or (f"DNS:{name}",))
        extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage=clientAuth,serverAuth\n")
        _openssl("req", "-new", "-key", self.key(name), "-subj", subject, "-out", str(request))
        signer = ["-CA", self.certificate("ca"), "-CAkey", self.key("ca"), "-CAcreateserial", "-days", DAYS]
        _openssl("x509", "-req", "-in", str(request), *signer, "-extfile", str(extensions),
                 "-out", self.certificate(name))  # fmt: skip

    def kubeconfig(self, name: str, subject: str, *alternatives: str) -> str:
        """The file with which a program speaks to the API server as `subject`."""
        self.issue(name, subject, *alternatives)
        cluster = {"server": self._server, "certificate-authority": self.certificate("ca")}
        user = {"client-certificate": self.certificate(name), "client-key": self.key(name)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
            "current-context": "lab",
        }
        path = self.directory / f"{name}.conf"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    def _new_key(self, name: str) -> None:
        _openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", self.key(name))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
