"""The kernel's side: compiling, loading and attaching the programs, and reading their maps.

Plain columns and announcements leave this room; identities, names and the report do not belong in it.
`loader` alone imports bcc, in a process of its own; `maps` alone calls libbpf.
"""
