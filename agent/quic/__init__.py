"""Whom clients mean by QUIC: from datagrams that the kernel samples to the names in their hellos.

`hello` reads a TLS hello, `initial` opens the packets that carry it, `connections` puts one connection's pieces
together, `hellos` keeps all connections. The cipher library is loaded when the first datagram comes: most hosts never
see one.
"""
