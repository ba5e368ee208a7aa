"""One measurement: processes whose environment is arranged for it, and the record of what they report."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, Final

from lucid._bench.machine import described
from lucid._bench.ours import LUCID
from lucid._bench.peers import PEERS
from lucid._bench.records import Record, Result
from lucid._bench.worker import Plan

__all__ = ["BrokenOffError", "arranged", "measured"]

THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "LUCID_NUM_THREADS", "NPROC")
"""How many threads: for NumPy's BLAS and PyTorch, for MKL, for lucid, for XLA."""
REMOVED: Final = ("OPENBLAS_", "GOTO_", "OMP_", "MKL_", "KMP_", "GOMP_", "XLA_", "JAX_", "TORCHDYNAMO_")
"""How the variables begin that would change what is measured."""


class BrokenOffError(Exception):
    """The process that measures came to a bad end."""


def measured(plan: Plan, watch: Callable[[dict[str, Any]], None]) -> Record:
    """Measure as planned, with every event shown to `watch`; times first, then memory if asked for."""
    requires = [name for peer in plan.peers for name in PEERS[peer].requires]
    versions = ["lucid-bce", "numpy", *plan.backends, *requires, *(["jaxlib"] if "jax" in requires else [])]
    record: Record = {"machine": described(versions), "plan": plan._asdict(), "absent": {}, "results": []}
    for event in events(plan._replace(memory=False)):
        watch(event)
        if event["event"] == "absent":
            record["absent"][event["name"]] = event["reason"]
        elif event["event"] == "rows" and all(LUCID + name in record["absent"] for name in plan.backends):
            raise ValueError("; ".join(record["absent"][LUCID + name] for name in plan.backends))
        elif event["event"] == "result":
            record["results"].append({key: value for key, value in event.items() if key != "event"})
    if plan.memory:
        rows = iter(record["results"])
        for event in events(plan):
            watch(event)
            if event["event"] == "result":
                enter_memory(next(rows), event["extra_bytes"])
    return record


def enter_memory(result: Result, extra_bytes: dict[str, int]) -> None:
    """Add the bytes of a call to what is known of those who were timed."""
    for name in extra_bytes.keys() & result["contestants"].keys():
        result["contestants"][name]["extra_bytes"] = extra_bytes[name]


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
        with worker:
            try:
                assert worker.stdin is not None
                assert worker.stdout is not None
                with suppress(BrokenPipeError), worker.stdin:
                    json.dump(plan._asdict(), worker.stdin)
                yield from map(json.loads, worker.stdout)
            except BaseException:
                worker.kill()
                raise
        if worker.returncode:
            said.seek(0)
            last_words = said.read()[-4000:].strip() or "it said nothing"
            raise BrokenOffError(f"the measuring process ended with status {worker.returncode}: {last_words}")


def arranged(environment: Mapping[str, str], threads: int, folder: str) -> dict[str, str]:
    """Return an environment in which all libraries take as many threads; the given one stays as it is.

    They read it when they start, which is why the measuring is done in a process of its own. Keras writes its
    configuration where it is imported: into `folder`, not into the user's home.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith(REMOVED)}
    kept |= dict.fromkeys(THREADS, str(threads))
    kept |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1", "KERAS_BACKEND": "numpy", "KERAS_HOME": folder}
    if threads == 1:
        kept["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return kept
