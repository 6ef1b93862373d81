"""An agent that follows another one on its host: what is handed over, where the two meet, and in which order.

No counting and no names here: those are handed through as they are.
"""
