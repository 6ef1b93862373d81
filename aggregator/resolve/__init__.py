"""Who a far address was at a time, what a node is called, and whether its end tells of it too.

Pure (kubernetes.py, when it comes, is the one exception): tables in, columns out.
"""
