"""Text from strangers (paths, host names, commands) in a form that a message can carry.

It stays what it was, but for what cannot be printed: that becomes an escape. Outputs escape for their own syntax.
"""

LONGEST_TEXT = 255


def carried(raw: bytes | str) -> str:
    """At most 255 characters; control characters and broken UTF-8 as \\xNN (\\uNNNN beyond Latin-1)."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    if text.isprintable():
        return text[:LONGEST_TEXT]
    return "".join(c if c.isprintable() else _escape(c) for c in text[:LONGEST_TEXT])[:LONGEST_TEXT]


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
