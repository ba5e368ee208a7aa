"""One measurement: a process whose environment is arranged for it, and what it reports."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, Final

from lucid._bench.peers import PEERS
from lucid._bench.worker import Plan

__all__ = ["BrokenOffError", "arranged", "events", "machine"]

THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "LUCID_NUM_THREADS", "NPROC")
"""What NumPy's BLAS and PyTorch, MKL, lucid, and XLA's thread pools read."""
REMOVED: Final = (
    "OPENBLAS_",
    "GOTO_",
    "OMP_",
    "MKL_",
    "KMP_",
    "GOMP_",
    "LUCID_",
    "XLA_",
    "JAX_",
    "TORCH_COMPILE",
)
"""How the variables begin that would change what is measured."""


class BrokenOffError(Exception):
    """The process that measures came to a bad end."""


def arranged(environment: Mapping[str, str], threads: int, folder: str) -> dict[str, str]:
    """Return an environment in which all libraries take as many threads; the given one stays as it is."""
    kept = {name: value for name, value in environment.items() if not name.startswith(REMOVED)}
    kept |= dict.fromkeys(THREADS, str(threads))
    kept |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1", "KERAS_HOME": folder}
    if threads == 1:
        kept["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    kept.setdefault("KERAS_BACKEND", "jax" if not PEERS["jax"].missing else "numpy")
    return kept


def events(plan: Plan) -> Iterator[dict[str, Any]]:
    """Measure in a fresh process, and yield what it reports."""
    with TemporaryDirectory(prefix="lucid-bench-") as folder, TemporaryFile("w+") as said:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "lucid._bench.worker"],
            env=arranged(os.environ, plan.threads, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            with suppress(BrokenPipeError), worker.stdin as plans:
                json.dump(plan._asdict(), plans)
            yield from map(json.loads, worker.stdout)
        finally:
            if worker.poll() is None and sys.exc_info()[0] is not None:
                worker.terminate()
            worker.wait()
        if worker.returncode:
            said.seek(0)
            raise BrokenOffError(
                f"{said.read()}\nthe measuring process ended with status {worker.returncode}"
            )


def machine(plan: Plan) -> dict[str, Any]:
    """Describe what the figures depend on; nothing is imported to learn it."""
    wanted = ["lucid-bce", "numpy", *(name for peer in plan.peers for name in PEERS[peer].requires)]
    wanted += ["jaxlib"] if "jax" in wanted else []
    wanted += ["torch"] if "torch" in plan.backends else []
    versions = {}
    for name in dict.fromkeys(wanted):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "platform": platform.platform(terse=True),
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
