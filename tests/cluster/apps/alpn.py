"""alpn.py CERTIFICATE ADDRESS NAME PROTOCOL: says hello over TLS, and in it which protocol it would speak."""

import socket
import ssl
import sys

certificate, address, name, protocol = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)
context.set_alpn_protocols([protocol, "http/1.1"])
with socket.create_connection((address, 443)) as plain, context.wrap_socket(plain, server_hostname=name) as tls:
    tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    tls.recv(65536)
    sys.stdout.write(f"{tls.version()}\n")
