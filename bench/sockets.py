"""Many open connections in one process, held until the end: server and client of the memory measurement.

Runs by itself in a place of the cluster: sockets.py PORT, then on its input lines `COUNT APART`: have that many more
connections; APART: each from and to another loopback address, so that each is a flow of its own. A line on its output
says when it is so. Each connection has carried one HTTP request.
"""

import resource
import socket
import sys

REQUEST = b"GET /held HTTP/1.1\r\nHost: held.example\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def main(port: int) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.create_server(("0.0.0.0", port), backlog=1024)  # noqa: S104
    held: list[tuple[socket.socket, socket.socket]] = []
    for line in sys.stdin:
        count, apart = map(int, line.split())
        held += [opened(listener, len(held) + more, port, bool(apart)) for more in range(count)]
        sys.stdout.write(f"{len(held)} connections\n")
        sys.stdout.flush()


def opened(listener: socket.socket, number: int, port: int, apart: bool) -> tuple[socket.socket, socket.socket]:
    """Both ends, after one request."""
    address = f"127.{1 + number // 62500 % 250}.{number // 250 % 250}.{1 + number % 250}" if apart else "127.0.0.1"
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((address, 0))
    client.connect((address, port))
    server, _ = listener.accept()
    client.sendall(REQUEST)
    server.recv(4096)
    server.sendall(ANSWER)
    client.recv(4096)
    return client, server


# Not in every socket module: a port is chosen when it is known where to, so that many connections fit.
IP_BIND_ADDRESS_NO_PORT = 24

if __name__ == "__main__":
    main(int(sys.argv[1]))
