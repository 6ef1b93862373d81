"""From an agent's messages to columns of dense ids: decoding, de-duplication, definitions, clocks.

Knows no name and no graph; plain messages in, so that any stream can carry them.
"""
