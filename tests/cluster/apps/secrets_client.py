"""secrets_client.py ADDRESS PORT TIMES CANARY: requests with a secret in every place where one may stand."""

import socket
import sys


def request(secret):
    body = f"a=1;{secret}=x;--{secret}".encode()
    lines = [
        f"POST /pay/7?token={secret}&x=1#{secret} HTTP/1.1",
        "Host: shop.example",
        f"Authorization: Bearer {secret}",
        f"Cookie: session={secret}",
        f"X-Api-Key: {secret}",
        f"Referer: http://shop.example/{secret}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(secret):
    chunk = f"card={secret}".encode()
    head = f"POST http://user:{secret}@shop.example/pay/8?{secret} HTTP/1.1\r\nHost: user:{secret}@shop.example\r\n"
    framing = f"Transfer-Encoding: chunked\r\n\r\n{len(chunk):x};{secret}\r\n".encode()
    return head.encode() + framing + chunk + f"\r\n0\r\nX-Trailer: {secret}\r\n\r\n".encode()


def answer(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    rest = head.split(b"\r\n\r\n", 1)[1]
    length = next(int(row.split(b":")[1]) for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:"))
    while len(rest) < length:
        rest += connection.recv(65536)


address, port, times, canary = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
with socket.create_connection((address, port)) as connection:
    for number in range(times):
        connection.sendall((chunked if number % 2 else request)(canary))
        answer(connection)
