"""lookups.py COUNT DOMAIN...: resolves COUNT names below these domains in turn, as the system resolves names.

Every name once, 8 at a time. Writes {"found": n, "missing": n}.
"""

import collections
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor


def look_up(number):
    try:
        socket.getaddrinfo(f"n{number}.{domains[number % len(domains)]}", 443, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return "missing"
    return "found"


count, domains = int(sys.argv[1]), sys.argv[2:]
with ThreadPoolExecutor(8) as threads:
    sys.stdout.write(json.dumps(collections.Counter(threads.map(look_up, range(count), chunksize=100))))
