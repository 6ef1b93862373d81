"""The miniature cluster: one machine that holds hosts, pods and an internet which are real to the kernel.

Here belong what builds and removes it, the programs that run in it (apps/), and the truth that they count.
What is observed from it, and whether it is right, is asserted in tests/kernel.
"""
