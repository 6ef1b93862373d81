"""The `plumb` command, one file a command: reads flags, asks the aggregator as any client would, shows the answer.

No question about the graph is answered here. grpc is imported in client.py only.
"""
