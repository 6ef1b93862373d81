"""A server that speaks first, or a client of one: PORT-holding programs whose parts are played when a signal says so.

greeter.py serve PORT     greets each client after 100 ms; SIGUSR1: pings every client; SIGUSR2: listens no more
greeter.py call ADDRESS PORT SOURCE-PORT     answers each thing it hears with as much; SIGUSR1: closes
"""

import selectors
import signal
import socket
import sys
import time

signals = {signal.SIGUSR1: [], signal.SIGUSR2: []}
for number in signals:
    signal.signal(number, lambda number, frame: signals[number].append(1))


def serve(port):
    listener = socket.create_server(("0.0.0.0", port))
    listener.settimeout(0.05)
    clients = []
    while True:
        try:
            if listener is not None:
                client, _ = listener.accept()
                time.sleep(0.1)
                client.sendall(b"\n\0\0\0greetings")
                clients.append(client)
            else:
                time.sleep(0.05)
        except TimeoutError:
            pass
        if signals[signal.SIGUSR1]:
            signals[signal.SIGUSR1].clear()
            for client in clients:
                client.sendall(b"ping")
        if signals[signal.SIGUSR2] and listener is not None:
            listener.close()
            listener = None


def call(address, port, source_port):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("", source_port))
    one.connect((address, port))
    one.setblocking(False)
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ)
        while not signals[signal.SIGUSR1]:
            if ready.select(0.05) and (data := one.recv(4096)):
                one.sendall(b"." * len(data))
    one.close()
    while True:
        time.sleep(1)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    call(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
