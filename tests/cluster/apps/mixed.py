"""What the mixed load is made of: the same seed gives the same requests, and each says what its answer must be.

A request's X-Answer header is the order to the server: STATUS FORM SIZE PAD EARLY TRAILER, with FORM sized or chunked,
PAD bytes in a header, EARLY 1 for interim answers before the final one, TRAILER 1 for a trailer after the last chunk.
"""

import random

# Bodies are full of what a parser that loses its place would take for messages.
REQUEST_BODY = b"POST /wrong/body HTTP/1.1\r\nHost: wrong.example\r\nContent-Length: 0\r\n\r\n"
ANSWER_BODY = b"HTTP/1.1 500 Wrong\r\nContent-Length: 0\r\n\r\nGET /wrong/answer HTTP/1.1\r\nHost: x\r\n\r\n"
METHODS = ["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
STATUSES = [200, 200, 200, 201, 204, 304, 400, 404, 503]
WITHOUT_BODY = (204, 304)
PLACES = "cart orders users stock items prices search media".split()
PARTS = "lines notes state owner image audit draft links".split()
ROUTES = [(place, part) for place in PLACES for part in PARTS]


def filled(pattern, size):
    return (pattern * (size // len(pattern) + 1))[:size]


def chunked(body, rng, trailer=False):
    """Chunks of 1 to 5,000 bytes, one in three with an extension."""
    out, at = [], 0
    while at < len(body):
        piece = body[at : at + rng.choice((1, 10, 500, 5000))]
        extension = b";e=1" if rng.random() < 0.3 else b""
        out.append(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece))
        at += len(piece)
    return b"".join([*out, b"0\r\n", b"X-Sum: 1\r\n" if trailer else b"", b"\r\n"])


class Exchange:
    """One request, and what must come back."""

    under = ""  # what every route begins with

    def __init__(self, rng, largest):
        place, part = rng.choice(ROUTES)
        self.method, self.status = rng.choice(METHODS), rng.choice(STATUSES)
        self.route = f"{self.under}/{place}/*/{part}"
        self.path = f"{self.under}/{place}/{rng.randrange(10**9)}/{part}?token={rng.randrange(10**6)}"
        self.size = rng.choice((0, 1, 50, 1000, 3000, rng.randint(0, largest)))
        self.body = self._body(rng, largest) if self.method in ("POST", "PUT", "PATCH") else None
        self.form = rng.choice(("sized", "chunked"))
        self.has_chunks = self.body is not None and rng.random() < 0.5
        self.expects = bool(self.body) and rng.random() < 0.2
        self.order = f"{self.status} {self.form} {self.size} {rng.randint(0, 300)} {int(rng.random() < 0.05)} "
        self.order += str(int(rng.random() < 0.3))
        cookie = "k" * rng.randint(0, 400)
        self.head, self.payload = self._written(rng, cookie)

    @staticmethod
    def _body(rng, largest):
        return filled(REQUEST_BODY, rng.choice((0, 10, 700, rng.randint(0, largest // 4))))

    def _written(self, rng, cookie):
        fields = [f"{self.method} {self.path} HTTP/1.1", "Host: mixed.example", f"Cookie: {cookie}"]
        fields.append(f"X-Answer: {self.order}")
        payload = b""
        if self.body is not None:
            payload = chunked(self.body, rng) if self.has_chunks else self.body
            fields.append("Transfer-Encoding: chunked" if self.has_chunks else f"Content-Length: {len(self.body)}")
        if self.expects:
            fields.append("Expect: 100-continue")
        return "\r\n".join([*fields, "", ""]).encode(), payload

    @property
    def answer_body(self):
        nothing = self.method == "HEAD" or self.status in WITHOUT_BODY
        return b"" if nothing else filled(ANSWER_BODY, self.size)


def connections(seed, requests, count, depth, largest, repeat=1):
    """For each connection its depth of pipelining and its exchanges, each up to `repeat` times.

    A third of them never pipelines.
    """
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        own_depth = 1 if depth == 1 or number % 3 == 0 else rng.randint(2, depth)
        yield own_depth, exchanges(rng, requests // count + (number < requests % count), largest, repeat)


def exchanges(rng, count, largest, repeat):
    while count:
        times = min(rng.randint(1, repeat), count) if repeat > 1 else 1
        yield from [Exchange(rng, largest)] * times
        count -= times


class Reader:
    """Messages from a socket."""

    def __init__(self, connection):
        self.file = connection.makefile("rb", 1 << 16)

    def head(self):
        """The first line and the fields, or None at the end."""
        line = self.file.readline()
        if not line:
            return None
        fields = {}
        while (field := self.file.readline()) != b"\r\n":
            if not field:
                raise EOFError("the connection ended within a head")
            name, _, value = field.partition(b":")
            fields[name.lower()] = value.strip()
        return line, fields

    def body(self, fields):
        if b"transfer-encoding" in fields:
            return b"".join(self._chunks())
        return self._exactly(int(fields.get(b"content-length", 0)))

    def _chunks(self):
        while size := int(self.file.readline().split(b";")[0], 16):
            yield self._exactly(size)
            self.file.readline()
        while self.file.readline() != b"\r\n":
            pass

    def _exactly(self, size):
        body = self.file.read(size)
        if len(body) != size:
            raise EOFError(f"{len(body)} of {size} bytes of a body came")
        return body


def send(connection, data, cut, rng):
    """At once, or cut into writes of 1 to `cut` bytes."""
    if not cut:
        connection.sendall(data)
        return
    at = 0
    while at < len(data):
        size = rng.randint(1, cut)
        connection.sendall(data[at : at + size])
        at += size
