"""Measurements: small programs that anybody can run again, each `python -m bench.NAME [--json]`.

Here belong figures and how they are taken. What must hold on every machine is asserted in tests/, not here.
"""
