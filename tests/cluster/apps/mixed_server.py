"""mixed_server.py PORT...: answers the mixed load as each request orders (mixed.py), on every address, v4-mapped too.

A request with X-Wait has its body read after so many seconds. After an Upgrade or a CONNECT every byte is sent back.

--defer-accept: a connection is accepted when its first bytes have come.
--cut N: writes of 1 to N bytes.
--mptcp, --fast-open: the listener takes these.
"""

import argparse
import random
import socket
import threading
import time

import mixed

TCP_FASTOPEN_QUEUE = 256
TEXTS = {200: "OK", 204: "No Content", 503: "Busy"}


def answered(method, order, rng):
    """The bytes of one answer."""
    status, form, size, pad, early, trailer = order.split()
    status, early = int(status), early == "1"
    # Now and then without a reason phrase.
    head = f"HTTP/1.1 {status} {TEXTS.get(status, '')}\r\nServer: mixed\r\nX-Pad: {'p' * int(pad)}\r\n"
    body = mixed.filled(mixed.ANSWER_BODY, int(size))
    nothing = method == b"HEAD" or status in mixed.WITHOUT_BODY
    if form == "chunked" and status != 204:
        head += "transfer-Encoding: Chunked\r\n\r\n"
        payload = b"" if nothing else mixed.chunked(body, rng, trailer == "1")
    else:
        head += "\r\n" if status == 204 else f"content-LENGTH: {len(body)}\r\n\r\n"
        payload = b"" if nothing else body
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" if early else b""
    return interim + head.encode() + payload


def echo(connection, reader, status):
    connection.sendall(b"HTTP/1.1 %s\r\n\r\n" % status)
    while data := reader.file.read1(1 << 16):
        connection.sendall(data)


def serve(connection, options):
    rng = random.Random(1)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = mixed.Reader(connection)
        while (message := reader.head()) is not None:
            line, fields = message
            if b"expect" in fields:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(float(fields.get(b"x-wait", 0)))
            reader.body(fields)
            method = line.split(b" ")[0]
            if b"upgrade" in fields or method == b"CONNECT":
                return echo(connection, reader, b"101 Switching Protocols" if b"upgrade" in fields else b"200 OK")
            mixed.send(connection, answered(method, fields[b"x-answer"].decode(), rng), options.cut, rng)
        return None
    except (ConnectionError, EOFError):
        return None  # a client that breaks off is part of some loads; its own count tells when it was none
    finally:
        connection.close()


def listener(port, options):
    protocol = socket.IPPROTO_MPTCP if options.mptcp else socket.IPPROTO_TCP
    listening = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if options.defer_accept:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
    if options.fast_open:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, TCP_FASTOPEN_QUEUE)
    listening.bind(("::", port))
    listening.listen(1024)
    return listening


def accept_all(listening, options):
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=serve, args=(connection, options), daemon=True).start()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ports", type=int, nargs="+")
    parser.add_argument("--cut", type=int, default=0)
    for flag in ("--defer-accept", "--mptcp", "--fast-open"):
        parser.add_argument(flag, action="store_true")
    options = parser.parse_args()
    listeners = [listener(port, options) for port in options.ports]
    threads = [threading.Thread(target=accept_all, args=(one, options)) for one in listeners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
