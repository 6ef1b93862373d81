"""secrets_client.py ADDRESS PORT TIMES CANARY TOKENS: requests with a secret in every place where one may stand.

Each has one of its own, which begins with CANARY; in a path it is the next line of the file TOKENS.
"""

import base64
import socket
import string
import sys
from pathlib import Path


def letters(number):
    return "".join(string.ascii_letters[number // 52**at % 52] for at in range(4))


def basic(secret):
    return base64.b64encode(f"user:{secret}".encode()).decode()


def request(secret, token):
    body = f"a=1;{secret}=x;--{secret}".encode()
    lines = [
        f"POST /pay/{token}?token={secret}&x=1#{secret} HTTP/1.1",
        "Host: shop.example",
        f"Authorization: Bearer {secret}",
        f"Cookie: session={secret}",
        f"X-Api-Key: {secret}",
        f"Referer: http://shop.example/{secret}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(secret, token):
    chunk = f"card={secret}".encode()
    head = f"POST http://user:{secret}@shop.example/pay/{token}/by?{secret} HTTP/1.1\r\n"
    head += f"Host: user:{secret}@shop.example\r\nAuthorization: Basic {basic(secret)}\r\n"
    framing = f"Transfer-Encoding: chunked\r\n\r\n{len(chunk):x};{secret}\r\n".encode()
    return head.encode() + framing + chunk + f"\r\n0\r\nX-Trailer: {secret}\r\n\r\n".encode()


def tunnel(secret, token):
    head = f"CONNECT user:{secret}@pay.example:443 HTTP/1.1\r\nHost: user:{secret}@pay.example:443\r\n"
    return f"{head}Proxy-Authorization: Basic {basic(secret)}\r\nX-Token: {token}\r\n\r\n".encode()


def answer(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    rest = head.split(b"\r\n\r\n", 1)[1]
    length = next(int(row.split(b":")[1]) for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:"))
    while len(rest) < length:
        rest += connection.recv(65536)


address, port, times, canary = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
tokens = Path(sys.argv[5]).read_text().split()
with socket.create_connection((address, port)) as connection:
    for number in range(times):
        form = (request, chunked, tunnel)[number % 3]
        connection.sendall(form(canary + letters(number), tokens[number]))
        answer(connection)
