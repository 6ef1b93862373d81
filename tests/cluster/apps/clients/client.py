"""client.py: Python's urllib as a client (the form is in clients.py)."""

import os
import socket
import ssl
import sys
import urllib.error
import urllib.request

context = ssl.create_default_context(cafile=os.environ["CLIENT_CA"])
context.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[os.environ["CLIENT_TLS"]]
opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))


def call(url):
    try:
        with opener.open(url, timeout=float(os.environ["CLIENT_PATIENCE"])) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code
    except urllib.error.URLError as failure:
        return word(failure.reason)


def word(reason):
    kinds = {
        socket.gaierror: "resolve",
        ConnectionRefusedError: "refused",
        TimeoutError: "timeout",
        ssl.SSLCertVerificationError: "certificate",
    }
    return next(
        (said for kind, said in kinds.items() if isinstance(reason, kind)), f"other:{reason!r}".replace(" ", "_")
    )


for line in sys.stdin:
    times, url = line.split()
    for _ in range(int(times)):
        sys.stdout.write(f"{url} {call(url)}\n")
