"""The graph in numbers and as immutable snapshots: columns, coverage of hosts, graph, versions.

Pure: no I/O, no clock but the one given, no name that resolve did not hand in.
"""
