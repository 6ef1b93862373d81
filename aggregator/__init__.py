"""The cluster's memory: takes reports of all hosts, resolves who spoke to whom, and keeps the live graph.

Knows no kernel and never imports the agent; which room may import which stands in .importlinter.
"""
