"""The forms in which the graph leaves, one file a form: what a form looks like, and who serves it, belong here.

What it says was decided before: no judgement, no resolving, no state but what was served last.
"""
