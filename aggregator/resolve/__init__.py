"""Who a far address was at a time, what a node is called, and which end's numbers count.

Pure (kubernetes.py, when it comes, is the one exception): tables in, columns out.
"""
