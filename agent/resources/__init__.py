"""What containers and units use and hold, from the files of their cgroups, of version 1 and 2 at once.

Not here: who they are (identity), and what is told to the aggregator beside it (watch).
"""
