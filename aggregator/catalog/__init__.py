"""What people declared: entities and references, each with the file and line where it stands; whose outside names are.

Readers of one source format each and the watch over their files belong here; what runs, and judgement of it, does not.
"""
