"""A service of the shop: for every request it calls what it depends on, then answers.

service.py --listen ADDRESS:PORT [--call URL]... [--try URL]... [--slow MS] [--failing SHARE]

--call: without a good answer of it the request fails with 502; --try: it is asked, and done without. In a URL every
`*` becomes a number. --slow and --failing are about its own answers: so much later, and this share of them is 503.
"""

import argparse
import http.client
import http.server
import ipaddress
import random
import socket
import socketserver
import threading
import time
from urllib.parse import urlsplit

PATIENCE_SECONDS = 2
kept = threading.local()


def call(url):
    """The status of one answer, over the connection that this thread keeps to that server; 0 without an answer."""
    parts = urlsplit(url)
    connections = kept.__dict__.setdefault("connections", {})
    connection = connections.get(parts.netloc)
    if connection is None:
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=PATIENCE_SECONDS)
        connections[parts.netloc] = connection
    try:
        connection.request("GET", parts.path.replace("*", str(random.randrange(1, 1000))))
        with connection.getresponse() as answer:
            answer.read()
            return answer.status
    except (OSError, http.client.HTTPException):
        connection.close()
        return 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for url in self.server.options.tried:
            call(url)
        good = all(0 < call(url) < 500 for url in self.server.options.called)
        time.sleep(self.server.options.slow / 1000)
        failing = random.random() < self.server.options.failing
        self.answer(503 if failing else 200 if good else 502)

    def do_POST(self):
        self.do_GET()

    def answer(self, status):
        body = b"{}\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, options):
        address, _, port = options.listen.rpartition(":")
        address = address.strip("[]")
        self.address_family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        self.options = options
        super().__init__((address, int(port)), Handler)

    def server_bind(self):
        """Without the reverse look-up of its own name that http.server makes."""
        socketserver.TCPServer.server_bind(self)


parser = argparse.ArgumentParser()
parser.add_argument("--listen", required=True)
parser.add_argument("--call", action="append", default=[], dest="called")
parser.add_argument("--try", action="append", default=[], dest="tried")
parser.add_argument("--slow", type=float, default=0)
parser.add_argument("--failing", type=float, default=0)
Server(parser.parse_args()).serve_forever()
