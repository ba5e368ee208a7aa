"""A stand-in for the CUDA libraries, under which an unmodified CuPy runs on the CPU; see README.md.

`install` puts it in place, before CuPy is imported; `counting` tells what CUDA was asked for, and `failing`
makes it refuse. Under pytest, give ``-p cuda_on_cpu.plugin``; all else runs by ``python -m cuda_on_cpu``.
"""

from cuda_on_cpu.counts import Counts, counting, failing, flushing_subnormals, launches_on
from cuda_on_cpu.install import install

__all__ = ["Counts", "counting", "failing", "flushing_subnormals", "install", "launches_on"]
