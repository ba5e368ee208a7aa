"""The process that measures: it reads a plan from standard input, and writes what happens, in JSON."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any, Final, NamedTuple, TypeAlias

import lucid
from lucid._bench import measure, ours
from lucid._bench.peers import FLOOR, PEERS, Peer
from lucid._bench.problems import OPERATIONS, Problem, pose

__all__ = ["main"]

TOLERANCE: Final = {"float16": 1e-2, "bfloat16": 5e-2, "float32": 1e-3, "float64": 1e-3}
"""How far a contestant's answer may lie from lucid's in float64, relative."""

Report: TypeAlias = Callable[[dict[str, Any]], None]


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

    def report(event: dict[str, Any]) -> None:
        print(json.dumps(event), file=events, flush=True)

    limit_threads(plan.threads)
    contestants = present(plan, report)
    report({"event": "cases", "total": len(list(cases(plan)))})
    for name, dtype, size in cases(plan):
        report({"event": "case", "operation": name, "dtype": dtype, "size": size})
        report({"event": "result", **result(plan, pose(OPERATIONS[name], dtype, size), contestants, report)})


def cases(plan: Plan) -> Iterator[tuple[str, str, int]]:
    """Combine operations, dtypes and sizes; an operation may have a size of its own."""
    for name in plan.operations:
        elements = OPERATIONS[name].elements
        for dtype in plan.dtypes:
            for size in [elements] if elements else plan.sizes:
                yield name, dtype, size


def limit_threads(threads: int) -> None:
    """Limit those that take no notice of the environment."""
    if set_num_threads := getattr(lucid, "set_num_threads", None):
        set_num_threads(threads)


def present(plan: Plan, report: Report) -> list[Peer]:
    """Choose the contestants, and report those that are absent."""
    chosen = []
    for name in plan.backends:
        if reason := ours.unusable(name):
            report({"event": "absent", "name": ours.LUCID + name, "reason": reason})
        else:
            chosen.append(ours.contestant(name))
    for name in plan.peers:
        if missing := PEERS[name].missing:
            report({"event": "absent", "name": name, "reason": f"{' and '.join(missing)} not installed"})
        else:
            chosen.append(PEERS[name])
    return [*chosen, FLOOR]


def result(plan: Plan, problem: Problem, contestants: list[Peer], report: Report) -> dict[str, Any]:
    """Measure all who solve a problem; say of the others why not."""
    runs: dict[str, Callable[[], Any]] = {}
    refused: dict[str, str] = {}
    expected = ours.expected(problem)
    for contestant in contestants:
        run, reason = admitted(contestant, problem, expected)
        if run is not None:
            runs[contestant.name] = run
        if reason:
            refused[contestant.name] = reason
    times = measure.race(
        runs,
        plan.budget,
        seed=plan.seed,
        fewest=plan.rounds,
        progress=lambda share: report({"event": "progress", "share": share}),
    )
    entries = {}
    references = [name for name in runs if name.startswith(ours.LUCID)]
    for name, seconds in times.seconds.items():
        entries[name] = {
            "seconds": measure.Spread.of(seconds)._asdict(),
            "fastest": min(seconds),
            "processors": round(times.processors[name], 2),
            "ratios": {each: times.ratio(name, each)._asdict() for each in references if each != name},
        }
        if plan.memory:
            entries[name]["extra_bytes"] = measure.extra_bytes(runs[name])
    return {
        "operation": problem.op.name,
        "dtype": problem.dtype,
        "size": problem.size,
        "rounds": len(next(iter(times.seconds.values()))),
        "contestants": entries,
        "refused": refused,
    }


def admitted(
    contestant: Peer, problem: Problem, expected: tuple[Any, ...]
) -> tuple[Callable[[], Any] | None, str]:
    """Return what is measured; or None, and the reason, if there is one beside not offering this."""
    try:
        run = contestant.make(problem)
        if run is None or contestant is FLOOR:
            return run, ""
        answer = run()
    except Exception as error:  # a compiler that is missing, a dtype that is not taken: anything
        return None, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    difference = disagreement(answer, expected, TOLERANCE[problem.dtype])
    return (None, f"a wrong answer: {difference}") if difference else (run, "")


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
