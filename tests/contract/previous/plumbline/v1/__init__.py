"""The contract, version 1: generated messages, and the one codec of the packed columns.

Imports nothing of agent, aggregator or cli. What others may import from Plumbline is this package alone.
"""
