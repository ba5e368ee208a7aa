"""The command `lucid bench`: what it says, and of whom; never how long something takes."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import lucid
from lucid._bench import markdown, ours, problems, report, worker
from lucid._bench.measure import Race, Spread, race
from lucid._bench.memory import Ledger
from lucid._bench.peers import PEERS, Contestant
from lucid._bench.session import arranged
from lucid._cli import main

needs_tqdm = pytest.mark.skipif(
    find_spec("tqdm") is None, reason="tqdm is not installed; see the extra [bench]"
)
needs_matplotlib = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="matplotlib is not installed; see the extra [bench]"
)
DOCS = Path(__file__).parent.parent / "docs"
BRIEF = ["--size", "1000", "--dtype", "float32", "--seconds", "0.01"]


def entry(seconds, **ratios):
    """What a record says of a contestant, with no spread at all."""
    return {
        "rounds": 5,
        "seconds": Spread(seconds, seconds, seconds)._asdict(),
        "processors": 1.0,
        "ratios": {name: Spread(ratio, ratio, ratio)._asdict() for name, ratio in ratios.items()},
    }


def row(operation="mean", size=1000, **changes):
    """A row of a record: lucid takes 2 us for 1000 elements, PyTorch 6 us, and a compiled formula 1 us."""
    contestants = {
        "lucid-numpy": entry(2e-6),
        "torch": entry(6e-6, **{"lucid-numpy": 3.0}),
        "jax": entry(1e-6, **{"lucid-numpy": 0.5}),
        "floor": entry(5e-7, **{"lucid-numpy": 0.25}),
    }
    facts = {"operation": operation, "dtype": "float32", "size": size, "contestants": contestants}
    return {**facts, "failed": {}, "wrong": {}, **changes}


def record(*rows):
    """A whole record, as --json writes it."""
    plan = worker.Plan(["mean"], ["float32"], [1000], ["numpy"], ["torch", "jax"], 1, 5.0, 5, False, 0)
    machine = {"processor": "a processor", "cores": 2, "platform": "a system", "python": "3", "versions": {}}
    absent = {"keras": "keras not installed"}
    return {"machine": machine, "plan": plan._asdict(), "absent": absent, "results": list(rows)}


@pytest.fixture
def recorded(tmp_path):
    """A file that --read takes."""
    path = tmp_path / "recorded.json"
    path.write_text(json.dumps(record(row(), row("call", 32))))
    return path


@needs_tqdm
def test_every_contestant_is_measured_or_said_to_be_absent(capsys, tmp_path):
    before = dict(os.environ)
    peers = ["numpy", "jax", "sklearn"]
    arguments = ["--op", "mean", "--peer", *peers, "--backend", "numpy", "--json", str(tmp_path / "it.json")]
    assert main(["bench", *arguments, *BRIEF]) == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "it.json").read_text())
    (result,) = written["results"]
    assert set(result["contestants"]) | set(written["absent"]) == {"lucid-numpy", "floor", *peers}
    assert {name for name in peers if PEERS[name].missing} == set(written["absent"])
    for name, measured in result["contestants"].items():
        assert (
            0 < measured["seconds"]["lower"] <= measured["seconds"]["median"] <= measured["seconds"]["upper"]
        )
        assert set(measured["ratios"]) == {"lucid-numpy"} - {name}
        assert re.search(rf"^  {name} +[\d.]+ +\[", printed, re.MULTILINE)
    for name in written["absent"]:
        assert re.search(rf"^absent: +{name}: .* not installed$", printed, re.MULTILINE)
    assert written["machine"]["versions"]["numpy"] == np.__version__
    assert dict(os.environ) == before


@needs_tqdm
@pytest.mark.parametrize("operation", ["targets", "layouts"])
def test_lucid_races_itself_and_accounts_for_its_memory(capsys, tmp_path, operation):
    arguments = ["--op", operation, "--backend", "numpy", "--memory", "--json", str(tmp_path / "it.json")]
    assert main(["bench", *arguments, *BRIEF]) == 0
    (result,) = json.loads((tmp_path / "it.json").read_text())["results"]
    targets = [f"{dtype} targets" for dtype in ours.TARGETS]
    variants = {"targets": targets, "layouts": list(ours.LAYOUTS)}[operation]
    assert set(result["contestants"]) == {"lucid-numpy", *(f"lucid-numpy, {each}" for each in variants)}
    assert all(0 < each["extra_bytes"] < 2**22 for each in result["contestants"].values())
    assert "extra KiB" in capsys.readouterr().out


@needs_tqdm
def test_a_backend_that_can_not_run_is_absent_or_an_error_if_it_is_alone(capsys):
    pair = ["--backend", "numpy", "nunpy", "--op", "call", "--peer", "none"]
    assert main(["bench", *pair, *BRIEF]) == 0
    assert "absent:   lucid-nunpy: no backend named 'nunpy' is installed" in capsys.readouterr().out
    assert main(["bench", "--backend", "nunpy", *BRIEF]) == 2
    assert capsys.readouterr().err.startswith("lucid: no backend named 'nunpy' is installed. Did you mean")


@needs_tqdm
def test_a_process_that_breaks_off_is_an_error_with_its_last_words(capsys, monkeypatch):
    monkeypatch.setattr(sys, "executable", os.devnull)
    assert main(["bench", *BRIEF]) == 2
    monkeypatch.undo()
    monkeypatch.setitem(problems.OPERATIONS, "odd", problems.Operation("odd", "odd"))  # not in the process
    assert main(["bench", "--op", "odd", "--backend", "numpy", *BRIEF]) == 2
    assert "KeyError: 'odd'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--op", "meen"], "argument --op: invalid choice: 'meen' (choose from"),
        (["--peer", "tensorflow"], "argument --peer: invalid choice: 'tensorflow' (choose from"),
        (["--dtype", "float128"], "argument --dtype: invalid choice: 'float128' (choose from"),
        (["--size", "2^9..2^3"], "'2^9..2^3' is no number of elements such as 1000, 2^22 or 2^16..2^27"),
        (["--size", "0"], "'0' is no number of elements"),
        (["--threads", "0"], "'0' is no number of threads"),
        (["--seconds", "-1"], "'-1' is no number of seconds"),
        (["--seconds", "soon"], "'soon' is no number of seconds"),
    ],
)
def test_what_can_not_be_measured_is_a_clear_error(capsys, arguments, complaint):
    with pytest.raises(SystemExit) as exit:
        main(["bench", *arguments])
    assert exit.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--json", "no/such/folder.json"], "there is no folder no/such to write folder.json to"),
        (["--plot", "it.png", "--op", "targets"], "--op names no operation with peers"),
        (["--plot", "curve.svg"], "the picture is a PNG; name it curve.png"),
        (["--markdown", "page.md"], f"page.md lacks the lines {markdown.BEGIN} and {markdown.END}"),
        (["--read", "page.md"], "page.md is not what lucid bench --json writes"),
        (["--read", "missing.json"], "missing.json"),
    ],
)
def test_what_can_not_be_shown_is_said_before_anything_is_measured(
    capsys, monkeypatch, tmp_path, arguments, complaint
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.md").write_text("# A page\n")
    assert main(["bench", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert complaint in printed.err


def test_what_is_missing_is_said_with_how_to_install_it(capsys, monkeypatch):
    monkeypatch.setattr("lucid._commands.bench.find_spec", lambda name: None)
    assert main(["bench", "--plot", "it.png"]) == 2
    assert (
        'this needs matplotlib and tqdm; python -m pip install "lucid-bce[bench]"' in capsys.readouterr().err
    )


@needs_matplotlib
@pytest.mark.parametrize("sizes", [(1000,), (1000, 2000, 4000)])
def test_the_picture_is_a_png(tmp_path, recorded, sizes):
    recorded.write_text(json.dumps(record(*(row(size=size) for size in sizes), row("call", 32))))
    assert main(["bench", "--read", str(recorded), "--plot", str(tmp_path / "it.png")]) == 0
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_record_that_is_read_again_says_the_same(capsys, tmp_path, recorded):
    copy = tmp_path / "copy.json"
    assert main(["bench", "--read", str(recorded), "--json", str(copy)]) == 0
    assert json.loads(copy.read_text()) == json.loads(recorded.read_text())
    printed = capsys.readouterr().out
    assert "absent:   keras: keras not installed" in printed
    assert re.search(r"^  torch +6\.00 +\[6\.00, 6\.00\] +3\.00x \[3\.00, 3\.00\]$", printed, re.MULTILINE)
    assert "lucid is faster in 2 of 4 comparisons with a peer" in printed
    assert "lucid-numpy is behind jax: 0.50x: mean, hard labels, float32, 1000 elements" in printed


def test_a_page_keeps_its_text_and_gets_its_tables(tmp_path, recorded):
    page = tmp_path / "page.md"
    page.write_text(f"# Speed\n\n{markdown.BEGIN}\nold\n{markdown.END}\n\nThe end.\n")
    assert main(["bench", "--read", str(recorded), "--markdown", str(page)]) == 0
    once = page.read_text()
    assert once.startswith(f"# Speed\n\n{markdown.BEGIN}\n")
    assert once.endswith(f"\n{markdown.END}\n\nThe end.\n")
    assert "old" not in once
    assert "| mean, hard labels | 2.00 | 0.50<br>0.25x | 6.00<br>3.00x | 1.00<br>**0.50x** |" in once
    assert "| one call, n = 32, float32 | 2.00 |" in once
    assert "In 2 of 4 comparisons of this run." in once
    assert main(["bench", "--read", str(recorded), "--markdown", str(page)]) == 0
    assert page.read_text() == once


def test_the_documentations_tables_are_those_of_its_measurement(tmp_path):
    page = DOCS / "performance.md"
    copy = tmp_path / "copy.md"
    copy.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    main(["bench", "--read", str(DOCS / "performance.json"), "--markdown", str(copy)])
    assert copy.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 0),
        ({"failed": {"torch-compile": "there is no compiler"}}, 0),
        ({"failed": {"lucid-numpy": "ValueError"}}, 1),
        ({"wrong": {"torch": "its loss is 1 where lucid's is 2"}}, 1),
    ],
)
def test_the_exit_status_tells_of_wrong_answers_and_of_lucids_failures(capsys, tmp_path, changes, status):
    path = tmp_path / "it.json"
    path.write_text(json.dumps(record(row(**changes))))
    assert main(["bench", "--read", str(path)]) == status
    printed = capsys.readouterr().out
    for reasons in changes.values():
        for name, reason in reasons.items():
            assert re.search(rf"not measured: {name}: .*{reason}", printed)


def made_up(answer):
    """A peer that always gives the same answer, or raises it."""

    def make(problem):
        if isinstance(answer, Exception):
            raise answer
        return lambda: answer

    return Contestant("made-up", "made up", (), make)


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (np.float32(0.5), "wrong", "its loss is 0.5 where lucid's is 0."),
        (np.float32("nan"), "wrong", "its loss is nan"),
        (np.zeros(3), "wrong", r"its loss has shape \(3,\), not \(\)"),
        (RuntimeError("no\ncompiler"), "failed", "RuntimeError: no compiler"),
    ],
)
def test_a_peer_that_is_wrong_or_fails_is_not_measured(answer, kind, reason):
    problem = problems.pose(problems.OPERATIONS["mean"], "float32", 1000)
    plan = worker.Plan(["mean"], ["float32"], [1000], ["numpy"], [], 1, 0.01, 2, False, 0)
    entrants = [*ours.entrants("numpy", problem.op, 1), made_up(answer)]
    found = worker.times(plan, problem, entrants, lambda kind, **facts: None)
    assert list(found["contestants"]) == ["lucid-numpy"]
    assert re.match(reason, found[kind]["made-up"])


def test_a_wrong_gradient_is_found_too():
    problem = problems.pose(problems.OPERATIONS["gradient"], "float64", 100)
    loss, gradient = ours.expected(problem)
    assert worker.disagreement((loss, gradient), (loss, gradient), 1e-3) == ""
    assert "its gradient is" in worker.disagreement((loss, -gradient), (loss, gradient), 1e-3)


@pytest.mark.parametrize("op", problems.OPERATIONS.values(), ids=problems.OPERATIONS)
@pytest.mark.parametrize("name", ["numpy", "torch", "sklearn"])  # the others need a process arranged for them
def test_a_peer_agrees_with_lucid(name, op):
    if PEERS[name].missing:
        pytest.skip(f"{' and '.join(PEERS[name].missing)} not installed")
    problem = problems.pose(op, "float32", 1000)
    run = PEERS[name].make(problem)
    offered = name != "sklearn" or not (op.logits or op.soft or op.gradient or op.reduction == "none")
    assert (run is not None) == offered
    if run is not None:
        assert worker.disagreement(run(), ours.expected(problem), 1e-3) == ""


def test_a_peer_that_is_not_installed_is_missing_and_not_imported():
    def never(problem):
        raise AssertionError("it was asked to solve a problem")

    assert Contestant("odd", "odd", ("no-such-distribution",), never).missing == ["no-such-distribution"]


def test_the_environment_is_arranged_for_the_process_and_left_alone_here():
    mine = {"OPENBLAS_NUM_THREADS": "8", "OMP_PROC_BIND": "true", "XLA_FLAGS": "--odd", "PATH": "/bin"}
    before = dict(mine)
    theirs = arranged(mine, 3, "/folder")
    assert mine == before
    assert theirs["PATH"] == "/bin"
    assert theirs["OMP_NUM_THREADS"] == theirs["LUCID_NUM_THREADS"] == theirs["MKL_NUM_THREADS"] == "3"
    assert not {"OPENBLAS_NUM_THREADS", "OMP_PROC_BIND", "XLA_FLAGS"} & set(theirs)
    assert theirs["KERAS_HOME"] == "/folder"


def test_every_round_runs_every_contestant_and_ratios_are_taken_within_it():
    calls = {"one": 0, "other": 0}

    def count(name):
        calls[name] += 1

    raced = race({name: lambda name=name: count(name) for name in calls}, 1e-9, fewest=4)
    assert {len(seconds) for seconds in raced.seconds.values()} == {4}
    assert min(calls.values()) > 4
    two = Race({"one": [1.0, 2.0, 30.0], "other": [2.0, 4.0, 60.0]}, {})
    assert two.ratio("other", "one") == Spread(2.0, 2.0, 2.0)


def test_lucid_has_more_threads_during_its_own_call_only(monkeypatch):
    told = []
    monkeypatch.setattr(lucid, "set_num_threads", told.append, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    op = problems.OPERATIONS["threads"]
    alone, two, four = ours.entrants("numpy", op, 1)
    problem = problems.pose(op, "float32", 1000)
    assert [alone.name, two.name, four.name] == [
        "lucid-numpy",
        "lucid-numpy, 2 threads",
        "lucid-numpy, 4 threads",
    ]
    assert alone.make(problem)() == two.make(problem)() == four.make(problem)()
    assert told == [2, 1, 4, 1]


def test_a_slow_contestant_leaves_after_the_first_rounds():
    from time import sleep

    raced = race({"fast": lambda: None, "slow": lambda: sleep(0.02)}, 0.1, fewest=3)
    assert len(raced.seconds["slow"]) == 3
    assert len(raced.seconds["fast"]) > 3


def test_memory_counts_what_is_temporary_and_what_is_kept_but_not_the_result():
    import tracemalloc

    problem = problems.pose(problems.OPERATIONS["none"], "float32", 10_000)
    kept = []

    def result_alone():
        return np.empty(100_000)

    def temporary():
        return np.empty(500_000)[:5].copy()

    def keeper():
        kept[:] = kept or [np.empty(1_000_000)]

    try:
        ledger = Ledger()
        ledger.before -= sum(each.nbytes for each in (problem.x, problem.y))  # posed before it was opened
        assert ledger.extra_bytes(lambda problem: result_alone, problem) < 10_000
        assert 4_000_000 < ledger.extra_bytes(lambda problem: temporary, problem) < 4_010_000
        assert 8_000_000 < ledger.extra_bytes(lambda problem: keeper, problem) < 8_010_000
    finally:
        tracemalloc.stop()


def test_asking_for_the_help_imports_no_library():
    code = (
        "import sys, contextlib\nfrom lucid._cli import main\n"
        "with contextlib.suppress(SystemExit): main(['bench', '--help'])\n"
        "libraries = {'numpy', 'torch', 'jax', 'keras', 'sklearn', 'matplotlib', 'tqdm', 'optax'}\n"
        "sys.exit(', '.join(libraries & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    assert "\nexamples:\n  lucid bench --quick" in done.stdout


@needs_tqdm
@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_lucid_on_pytorchs_tensors_is_led_by_its_backend(capsys):
    arguments = ["--op", "call-gradient", "--backend", "torch", "--peer", "torch"]
    assert main(["bench", *arguments, *BRIEF]) == 0
    printed = capsys.readouterr().out
    assert "lead of lucid-torch" in printed
    assert re.search(r"lucid-torch is (behind|ahead of) torch: [\d.]+x", printed)
    assert lucid.__version__ in printed
    assert report.number(0.1234) == "0.12"
