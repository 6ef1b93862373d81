"""Who a far address was at a time, what a node is called, and whether its end tells of it too.

Pure: tables in, columns out. One door is the exception: kubernetes.py speaks to the API server, and to nothing of ours.
"""
