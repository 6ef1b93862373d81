"""From the stream of agents to rows with the aggregator's own ids. Knows no name, resolves nothing.

Pure: messages and times in, plain arrays and values out; the tables that give ids live here.
"""
