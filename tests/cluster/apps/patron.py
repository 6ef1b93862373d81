"""Calls one site again and again, over a new connection each time, until it is ended.

patron.py NAME:PORT PATH [SECONDS LATER_PATH]     after so many seconds it asks for the other path
"""

import contextlib
import http.client
import sys
import time

site, path, *later = sys.argv[1:]
name, port = site.rsplit(":", 1)
changes = time.monotonic() + float(later[0]) if later else None
while True:
    if changes and time.monotonic() > changes:
        path = later[1]
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(name, int(port), timeout=2)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()
    time.sleep(0.1)
