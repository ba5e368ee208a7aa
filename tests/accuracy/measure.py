"""Measuring: every contestant on every case, the worst of each row, and backends side by side."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np

from accuracy.contestants import Contestant, Lucid
from accuracy.oracle import Exact, Floats, Numbers, exact, last_place, ulps
from accuracy.problems import FEW, MANY, OPS, Case, Op, many, problem
from lucid.testing.cases import Problem

__all__ = ["Agreement", "Measured", "Row", "Worst", "measure"]

WITHIN: Final = 0.51
SHORT: Final = 1000  # elements of which derivatives of reduced losses are taken


class Row(NamedTuple):
    """A row of the table."""

    op: str
    dtype: str
    regime: str
    labels: str


@dataclass
class Worst:
    """The largest error in a row, where it is, and how many results were within their bounds."""

    ulps: float
    bound: float
    where: dict[str, Any]
    measured: int = 0
    exceeding: int = 0

    def add(self, other: "Worst") -> None:
        """Keep the larger error."""
        if other.ulps > self.ulps:
            self.ulps, self.bound, self.where = other.ulps, other.bound, other.where
        self.measured += other.measured
        self.exceeding += other.exceeding


@dataclass
class Agreement:
    """How many results of two backends were compared, and how many of them differ."""

    compared: int = 0
    within: int = 0
    """Of which both are within 0.51 ULP of the exact number."""
    different: int = 0
    different_within: int = 0
    zeros: int = 0
    """Those that are 0 and -0; they are not among the different ones."""
    apart: float = 0.0
    """The largest difference, in ULPs."""


@dataclass
class Measured:
    """All that was measured; the second keys are contestants."""

    rows: dict[Row, dict[str, Worst]] = field(default_factory=dict)
    refusals: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """From contestant, operation and dtype to what was said."""
    parity: dict[tuple[str, str, str, str], Agreement] = field(default_factory=dict)
    """From dtype, operation and two backends."""


class Question(NamedTuple):
    """Operands, what is asked of them, and the right answer."""

    op: Op
    case: Case
    reduction: str
    at: Problem
    right: Numbers


def measure(
    cases: Iterable[Case], ops: Sequence[str], contestants: Sequence[Contestant], into: Measured
) -> None:
    """Ask each contestant each question."""
    for case in cases:
        for question in questions(case, ops):
            answers = {}
            for contestant in contestants:
                answer = asked(contestant, question, into)
                if answer is not None:
                    answers[contestant] = answer
            for contestant, answer in answers.items():
                note(contestant, question, answer, into)
            compare(question, answers, into)


def questions(case: Case, ops: Sequence[str]) -> Iterator[Question]:
    """Make the operands of a case, and the right answers, once for all contestants."""
    if case.regime == MANY:
        yield from questions_of_many(case, ops)
        return
    at = problem(case)
    right = exact(case.kernel, at, case.dtype)
    for op in (OPS[name] for name in ops if OPS[name].kernel == case.kernel):
        for reduction in op.reductions:
            if reduction == "none":
                answer = right.derivatives("none", None) if op.gradient else right.unreduced()
                yield Question(op, case, reduction, at, answer)
            elif case.regime != FEW:
                yield reduced(op, case, reduction, at, right)


def reduced(op: Op, case: Case, reduction: str, at: Problem, right: Exact) -> Question:
    """Ask for a sum or mean, or for the derivatives of it, a thousand at most."""
    if not op.gradient:
        return Question(op, case, reduction, at, right.reduced(reduction, at.weight, None))
    first = chosen(at, slice(SHORT))
    return Question(op, case, reduction, first, right.head(SHORT).derivatives(reduction, first.weight))


def chosen(at: Problem, places: Any) -> Problem:
    """Take some elements."""
    weight, pos_weight = (None if each is None else each[places] for each in (at.weight, at.pos_weight))
    return Problem(at.x[places], at.target[places], weight, pos_weight)


def questions_of_many(case: Case, ops: Sequence[str]) -> Iterator[Question]:
    """Ask for sums of elements that occur several times each, in a random order."""
    at, counts = many(case)
    right = exact(case.kernel, at, case.dtype)
    order = np.random.default_rng(case.size).permutation(np.repeat(np.arange(counts.size), counts))
    whole = chosen(at, order)
    for op in (OPS[name] for name in ops if OPS[name].kernel == case.kernel):
        for reduction in op.reductions:
            weighted_too = at.weight is not None or reduction != "weighted_mean"  # else it is the mean
            if not op.gradient and reduction != "none" and weighted_too:
                yield Question(op, case, reduction, whole, right.reduced(reduction, at.weight, counts))


def asked(contestant: Contestant, question: Question, into: Measured) -> Floats | None:
    """Ask one contestant; another library may refuse, lucid may not."""
    op, case, reduction, at, _ = question
    try:
        return contestant.evaluate(op, at, case.dtype, reduction, few=case.regime == FEW)
    except Exception as error:
        if isinstance(contestant, Lucid):
            raise
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        said = said if len(said) < 120 else f"{said[:50]} ... {said[-50:]}"
        into.refusals.setdefault((contestant.title, op.name, case.dtype), said)
        return None


def note(contestant: Contestant, question: Question, answer: Floats, into: Measured) -> None:
    """Add an answer to its row."""
    op, case, reduction, at, right = question
    errors = errors_of(question, answer)
    bound = op.bound(case, reduction, host_values=not isinstance(contestant, Lucid) or contestant.host_values)
    place = int(np.argmax(errors))
    where = {"option": case.option, "reduction": reduction, "elements": at.x.size}
    if errors.size == at.x.size:
        operands = {"input": at.x, "target": at.target, "weight": at.weight, "pos_weight": at.pos_weight}
        where |= {name: float(each[place]) for name, each in operands.items() if each is not None}
    where |= {"returned": float(answer[place]), "exact": float(right.value[place])}
    found = Worst(float(errors[place]), bound, where, errors.size, int((errors > bound).sum()))
    cells = into.rows.setdefault(Row(op.name, case.dtype, case.regime, case.labels), {})
    if contestant.title in cells:
        cells[contestant.title].add(found)
    else:
        cells[contestant.title] = found


def errors_of(question: Question, answer: Floats) -> Floats:
    """Measure the errors of an answer."""
    of_terms = question.op.of_terms(question.case)
    return ulps(answer, question.right, question.case.dtype, of_terms=of_terms)


def compare(question: Question, answers: dict[Contestant, Floats], into: Measured) -> None:
    """Compare lucid's backends with each other, bit for bit."""
    ours = {each.name: answer for each, answer in answers.items() if isinstance(each, Lucid)}
    errors = {name: errors_of(question, answer) for name, answer in ours.items()} if len(ours) > 1 else {}
    for a, b in combinations(errors, 2):
        key = (question.case.dtype, question.op.name, a, b)
        found = into.parity.setdefault(key, Agreement())
        within = (errors[a] <= WITHIN) & (errors[b] <= WITHIN)
        different = ours[a] != ours[b]  # nobody is nan here: that would be an error without bound
        found.zeros += int(((np.signbit(ours[a]) != np.signbit(ours[b])) & ~different).sum())
        found.compared += different.size
        found.within += int(within.sum())
        found.different += int(different.sum())
        found.different_within += int((different & within).sum())
        most = np.max(apart(ours[a], ours[b], question), initial=0, where=different)
        found.apart = max(found.apart, float(most))


def apart(a: Floats, b: Floats, question: Question) -> Floats:
    """Measure how far two answers are from each other, in ULPs of the right one."""
    place = last_place(question.right, question.case.dtype, of_terms=question.op.of_terms(question.case))
    with np.errstate(all="ignore"):
        return np.asarray(np.abs(np.ldexp(a, -place) - np.ldexp(b, -place)))
