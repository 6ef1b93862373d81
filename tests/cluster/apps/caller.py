"""A client that does one thing at a time, when it is told to, and says what became of it.

caller.py SOCKET

A line on the Unix socket is one order, {"address", "port", "from": own address or none, "requests": n, "path",
"keep": true to go on with the connection that it has for these ends, or to leave one open}; the answer is one line,
{"requests", "statuses": {code: n}, "unanswered": n, "connections", "failed": {reason: n}}. Connections that are left
open stay until the process ends.
"""

import errno
import http.client
import json
import socket
import socketserver
import sys

PATIENCE_SECONDS = 3
REASONS = {errno.ECONNREFUSED: "refused", errno.EHOSTUNREACH: "unreachable", errno.ENETUNREACH: "unreachable"}
kept = {}


def connection_for(order, counts):
    key = order["address"], order["port"], order.get("from")
    known = kept.get(key) if order.get("keep") else None
    if known is None:
        source = (order["from"], 0) if order.get("from") else None
        known = http.client.HTTPConnection(order["address"], order["port"], PATIENCE_SECONDS, source_address=source)
        known.connect()
        known.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        counts["connections"] += 1
        if order.get("keep"):
            kept[key] = known
    return known


def ask(connection, order, counts):
    connection.request("GET", order.get("path", "/"))  # what was broken before sends nothing
    counts["requests"] += 1
    with connection.getresponse() as answer:
        answer.read()
        code = str(answer.status)
    counts["statuses"][code] = counts["statuses"].get(code, 0) + 1


def obey(order):
    counts = {"requests": 0, "statuses": {}, "unanswered": 0, "connections": 0, "failed": {}}
    try:
        connection = connection_for(order, counts)
    except OSError as error:
        reason = REASONS.get(error.errno, "timeout" if isinstance(error, TimeoutError) else "other")
        counts["failed"] = {reason: 1}
        return counts
    try:
        for _ in range(order["requests"]):
            ask(connection, order, counts)
    except (OSError, http.client.HTTPException):
        counts["unanswered"] = counts["requests"] - sum(counts["statuses"].values())
        kept.pop((order["address"], order["port"], order.get("from")), None)
        connection.close()
    if not order.get("keep"):
        connection.close()
    return counts


class Orders(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(json.dumps(obey(json.loads(line))).encode() + b"\n")


socketserver.ThreadingUnixStreamServer(sys.argv[1], Orders).serve_forever()
