"""What an operator reads: the log, one line an event, and the table of every event that exists.

Not here: metrics (each daemon has its own table of them), and any decision about what is worth an event.
"""
