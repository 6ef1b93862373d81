"""moody.py CERTIFICATE KEY SECONDS ADDRESS...: what is slow of the internet, on ports 443 and 80 of each address.

On 443 it waits before its part of a TLS handshake; on 80 /slow waits before it answers, /drip begins its answer at once
and takes its time with the body. A connection is for one request.
"""

import socket
import ssl
import sys
import threading
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n"
BODY = b"hello\n"


def request(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536) or b"\r\n\r\n"
    return head


def secretly(connection):
    time.sleep(seconds)
    with context.wrap_socket(connection, server_side=True) as tls:
        request(tls)
        tls.sendall(HEAD + BODY)


def plainly(connection):
    head = request(connection)
    if b" /slow" in head:
        time.sleep(seconds)
    connection.sendall(HEAD)
    if b" /drip" in head:
        for _ in BODY:
            time.sleep(seconds / len(BODY))
            connection.sendall(b".")
    else:
        connection.sendall(BODY)


def serve(listener, answer):
    def handle(connection):
        try:
            with connection:
                answer(connection)
        except OSError:
            pass  # who calls may go away

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=handle, args=(connection,), daemon=True).start()


certificate, key, seconds, addresses = *sys.argv[1:3], float(sys.argv[3]), sys.argv[4:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
listeners = []
for address in addresses:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port, answer in ((443, secretly), (80, plainly)):
        listeners.append(
            threading.Thread(target=serve, args=(socket.create_server((address, port), family=family), answer))
        )
for listener in listeners:
    listener.start()
