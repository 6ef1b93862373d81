"""How third parties do over time: from what was called since the last look to states, and to what became of them.

Not here: which calls those were (outside.py of the estate), when it is looked, and who is told.
"""
