"""The process that measures: it reads a plan from standard input, and writes what happens, in JSON."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import isfinite
from typing import Any, Final, NamedTuple, Protocol

from lucid._bench import ours
from lucid._bench.measure import race
from lucid._bench.memory import Ledger
from lucid._bench.peers import FLOOR, PEERS, Contestant
from lucid._bench.problems import OPERATIONS, Operation, Problem, pose

__all__ = ["Plan", "disagreement", "main"]

TOLERANCE: Final = {"float16": 1e-2, "bfloat16": 5e-2, "float32": 1e-3, "float64": 1e-3}
"""How far a contestant's answer may lie from lucid's in float64, relative."""

Run = Callable[[], Any]


class Report(Protocol):
    """Tells the process that waits what happens."""

    def __call__(self, kind: str, **facts: Any) -> None: ...


class Plan(NamedTuple):
    """What to measure, as `lucid bench` was asked."""

    operations: list[str]
    dtypes: list[str]
    sizes: list[int]
    backends: list[str]
    peers: list[str]
    threads: int
    budget: float
    rounds: int
    memory: bool
    seed: int


def main() -> None:
    """Measure what the plan says."""
    plan = Plan(**json.load(sys.stdin))
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is no event

    def report(kind: str, **facts: Any) -> None:
        print(json.dumps({"event": kind, **facts}), file=events)

    ours.set_threads(plan.threads)
    backends, peers = present(plan, report)
    ledger = Ledger() if plan.memory else None
    rows = list(cases(plan))
    report("rows", total=len(rows))
    for op, dtype, size in rows:
        report("row", operation=op.name, dtype=dtype, size=size)
        entrants = [each for name in backends for each in ours.entrants(name, op, plan.threads)]
        entrants += [*peers, FLOOR] if op.against == "peers" else []
        problem = pose(op, dtype, size)
        found = memory(ledger, problem, entrants) if ledger else times(plan, problem, entrants, report)
        report("result", operation=op.name, dtype=dtype, size=size, **found)


def cases(plan: Plan) -> Iterator[tuple[Operation, str, int]]:
    """Combine operations, dtypes and sizes; an operation may have a size of its own."""
    for name in plan.operations:
        op = OPERATIONS[name]
        for dtype in plan.dtypes:
            for size in [op.elements] if op.elements else plan.sizes:
                yield op, dtype, size


def present(plan: Plan, report: Report) -> tuple[list[str], list[Contestant]]:
    """Find the backends and the peers that are here, and report those that are absent."""
    reasons = {name: ours.unusable(name) for name in plan.backends}
    missing = {name: PEERS[name].missing for name in plan.peers}
    for name, reason in reasons.items():
        if reason:
            report("absent", name=ours.LUCID + name, reason=reason)
    for name, packages in missing.items():
        if packages:
            report("absent", name=name, reason=f"{' and '.join(packages)} not installed")
    usable = [name for name, reason in reasons.items() if not reason]
    return usable, [PEERS[name] for name, packages in missing.items() if not packages]


def times(plan: Plan, problem: Problem, entrants: list[Contestant], report: Report) -> dict[str, Any]:
    """Race all who solve a problem; say of the others why not."""
    runs: dict[str, Run] = {}
    failed: dict[str, str] = {}
    wrong: dict[str, str] = {}
    expected = ours.expected(problem)
    for entrant in entrants:
        report("preparing", name=entrant.name)
        try:
            run = entrant.make(problem)
            if run is None:  # not offered
                continue
            difference = "" if entrant is FLOOR else disagreement(run(), expected, TOLERANCE[problem.dtype])
        except Exception as error:  # a compiler that is missing, a dtype that is not taken: anything
            failed[entrant.name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            continue
        if difference:
            wrong[entrant.name] = difference
        else:
            runs[entrant.name] = run
    del expected
    raced = race(
        runs,
        plan.budget,
        seed=plan.seed,
        fewest=plan.rounds,
        progress=lambda share: report("progress", share=share),
    )
    references = [ours.LUCID + name for name in plan.backends if ours.LUCID + name in runs]
    return {"contestants": raced.summary(references), "failed": failed, "wrong": wrong}


def memory(ledger: Ledger, problem: Problem, entrants: list[Contestant]) -> dict[str, Any]:
    """Account for the memory of those whose arrays are NumPy's."""
    extra: dict[str, int] = {}
    for entrant in entrants:
        if entrant.traced:
            with suppress(Exception):  # the times have said why
                if (found := ledger.extra_bytes(entrant.make, problem)) is not None:
                    extra[entrant.name] = found
    return {"extra_bytes": extra}


def disagreement(answer: Any, expected: tuple[Any, ...], tolerance: float) -> str:
    """Say how an answer differs from the expected one, relative to each value, or to their average."""
    import numpy as np

    answers = answer if isinstance(answer, tuple) else (answer,)
    for name, one, other in zip(("loss", "gradient"), answers, expected, strict=False):
        found = np.asarray(ours.numpy_of(one), dtype="float64")
        if found.shape != other.shape:
            return f"its {name} has shape {found.shape}, not {other.shape}"
        error = np.abs(found - other) / np.maximum(np.abs(other), np.abs(other).mean())
        worst = float(error.max())
        if not (isfinite(worst) and worst <= tolerance):
            at = np.unravel_index(int(error.argmax()), error.shape)
            return f"its {name} is {found[at]:.6g} where lucid's is {other[at]:.6g}"
    return ""


if __name__ == "__main__":
    main()
