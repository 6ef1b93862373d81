"""One host's eyes: counts from the kernel, named by who on this host caused them, delivered once.

Not here: anything about other hosts, the graph, or whom a remote address belongs to. The aggregator is never
imported; plumbline.v1 is all that the two share.
"""
