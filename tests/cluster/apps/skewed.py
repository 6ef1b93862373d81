"""Runs a program of this tree by a wall's clock that is wrong, and can be set while it runs.

skewed.py FILE PYTHON -m MODULE ARGUMENT...     FILE has the seconds to add; it is read at each look at the clock
"""

import runpy
import sys
import time
from pathlib import Path

file, _, _, module, *arguments = sys.argv[1:]
right_ns = time.time_ns


def wrong_ns():
    return right_ns() + int(float(Path(file).read_text()) * 1e9)


time.time_ns = wrong_ns
time.time = lambda: wrong_ns() / 1e9
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
