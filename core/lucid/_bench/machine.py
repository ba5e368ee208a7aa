"""What the figures depend on: the machine and the versions. Nothing is imported to learn it."""

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["described"]


def described(distributions: Iterable[str]) -> dict[str, Any]:
    """Describe the machine, and the versions of what is installed of some distributions."""
    versions = {}
    for name in dict.fromkeys(distributions):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def processor() -> str:
    """Name the processor, and its widest vectors."""
    facts: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            facts[name.strip()] = value.strip()
    vectors = {"avx512f": "AVX-512", "avx2": "AVX2"}
    widest = [vectors[flag] for flag in vectors if flag in facts.get("flags", "").split()][:1]
    return ", ".join([facts.get("model name") or platform.processor() or platform.machine(), *widest])
