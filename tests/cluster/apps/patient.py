"""A server as some in Java are, and clients that leave it waiting: one request, a pause, one request, then silence.

patient.py serve PORT IDLE-SECONDS     answers 5 ms later, chunked, without a reason phrase; resets who is idle
patient.py ask ADDRESS PORT CLIENTS PAUSE-SECONDS     until the server has reset them all
patient.py stop ADDRESS PORT     stops itself (SIGSTOP) as soon as it has asked, and reads the answer when it goes on
"""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys

ANSWER_SECONDS = 0.005
ANSWER = b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=60\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
ASK = b"GET /items/17 HTTP/1.1\r\nHost: patient\r\n\r\n"


async def attend(reader, writer, idle_seconds):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        while True:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), idle_seconds)
            await asyncio.sleep(ANSWER_SECONDS)
            writer.write(ANSWER)
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        writer.transport.abort()


async def serve(port, idle_seconds):
    server = await asyncio.start_server(lambda r, w: attend(r, w, idle_seconds), "0.0.0.0", port, backlog=512)
    await server.serve_forever()


async def one_client(address, port, pause_seconds):
    reader, writer = await asyncio.open_connection(address, port)
    for seconds in (pause_seconds, 0):
        writer.write(ASK)
        await reader.readuntil(b"0\r\n\r\n")
        await asyncio.sleep(seconds)
    with contextlib.suppress(ConnectionResetError):
        await reader.read()
    writer.close()


async def ask(address, port, clients, pause_seconds):
    await asyncio.gather(*(one_client(address, port, pause_seconds) for _ in range(clients)))


def stop(address, port):
    one = socket.create_connection((address, port))
    one.sendall(ASK)
    os.kill(os.getpid(), signal.SIGSTOP)
    while not one.recv(4096).endswith(b"0\r\n\r\n"):
        pass
    one.close()


if sys.argv[1] == "serve":
    asyncio.run(serve(int(sys.argv[2]), float(sys.argv[3])))
elif sys.argv[1] == "ask":
    asyncio.run(ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
else:
    stop(sys.argv[2], int(sys.argv[3]))
