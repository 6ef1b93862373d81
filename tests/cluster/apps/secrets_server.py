"""secrets_server.py PORT: answers each request with what it got, in a header and in the body."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.chunks() if self.headers.get("Transfer-Encoding") else self.rfile.read(self.length())
        self.send_response(200)
        self.send_header("Set-Cookie", f"session={body.decode()[-40:]}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self):
        self.send_response(403, f"not {self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def length(self):
        return int(self.headers["Content-Length"])

    def chunks(self):
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def log_message(self, *words):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True


Server(("0.0.0.0", int(sys.argv[1])), Echo).serve_forever()
