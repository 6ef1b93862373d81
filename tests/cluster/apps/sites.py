"""sites.py ADDRESS OTHER CERTIFICATE KEY: somebody outside. TLS on 443 and HTTP on 80 of one address, on 5432 of
the other a protocol that says no name."""

import contextlib
import socket
import ssl
import sys
import threading

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def serve(address, port, context, answer):
    with socket.create_server((address, port), backlog=100) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=say, args=(connection, context, answer), daemon=True).start()


def say(connection, context, answer):
    with contextlib.suppress(OSError), connection:
        stream = context.wrap_socket(connection, server_side=True) if context else connection
        if stream.recv(4096):
            stream.sendall(answer)


address, other, certificate, key = sys.argv[1:]
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key)
places = ((address, 443, tls, OK), (address, 80, None, OK), (other, 5432, None, b"hello"))
threads = [threading.Thread(target=serve, args=one) for one in places]
for thread in threads:
    thread.start()
