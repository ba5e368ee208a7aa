"""The command `lucid`."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy
import pytest

import lucid
from lucid._cli import main
from lucid._commands import _text
from lucid._commands.check import Outcome
from lucid_host import INSTRUCTIONS

HOST = (Path(__file__).parent / "plugins" / "good" / "host.py").read_text()


def listing(capsys, expected_status=0):
    """What `lucid backends --json` prints: the selection, and the backends by name."""
    assert main(["backends", "--json"]) == expected_status
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"selected", "backends", "notes"}
    return printed["selected"], {entry["name"]: entry for entry in printed["backends"]}


def described():
    kernels = f"compiled for {INSTRUCTIONS}" if INSTRUCTIONS else "of its own operations"
    return f"NumPy {numpy.__version__}, kernels {kernels}"


def test_backends_lists_ours_and_marks_the_default(capsys):
    selected, backends = listing(capsys)
    assert selected == {"spec": "numpy", "rule": "default", "usable": True, "reason": ""}
    assert backends["numpy"] == {
        "name": "numpy",
        "distribution": "lucid-bce",
        "version": lucid.__version__,
        "selected": True,
        "usable": True,
        "state": "ready",
        "reason": "",
        "description": described(),
    }
    assert all(entry["usable"] or entry["reason"] for entry in backends.values())


def test_backends_prints_plain_text_when_nobody_watches(capsys):
    assert main(["backends"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[-1] == "on what, or why not"
    numpys = f"*  numpy    lucid-bce {lucid.__version__}  yes     {described()}"
    assert numpys in lines
    assert lines[-1] == "selected: numpy (default)"


@pytest.mark.skipif(find_spec("rich") is None, reason="rich is not installed")
def test_on_a_terminal_rich_draws_the_table_and_leaves_brackets_alone(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _text.print_table(("backend", "why not"), [("torch", 'pip install "lucid-bce[torch]"')])
    printed = capsys.readouterr().out
    assert 'pip install "lucid-bce[torch]"' in printed
    assert "┃" in printed or "|" in printed


@pytest.mark.parametrize("spec", ["nunpy", ",", "numpy:", "\udcff", "torch or so"])
def test_a_nonsensical_selection_is_explained_below_the_whole_list(capsys, monkeypatch, spec):
    monkeypatch.setenv("LUCID_BACKEND", spec)
    selected, backends = listing(capsys, expected_status=1)
    assert (selected["spec"], selected["rule"], selected["usable"]) == (spec, "LUCID_BACKEND", False)
    assert selected["reason"]
    assert backends["numpy"]["usable"]
    assert not any(entry["selected"] for entry in backends.values())
    assert main(["backends"]) == 1
    assert "which can't be used: no" in capsys.readouterr().out


def test_the_first_usable_one_of_several_is_marked(capsys, monkeypatch, install_plugin):
    install_plugin("bad/create_raises.py")
    monkeypatch.setenv("LUCID_BACKEND", "create-raises,numpy")
    selected, backends = listing(capsys)
    assert selected["usable"]
    assert [name for name, entry in backends.items() if entry["selected"]] == ["numpy"]
    assert "libgpu.so.1: cannot open" in backends["create-raises"]["reason"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises_at_import", "RuntimeError: no licence was found"),
        ("exits_at_import", "SystemExit: this machine is not supported"),
        ("raises_when_asked", "KeyError"),
        ("misspelt_hook", "has a hook that lucid does not know"),
        ("other_api_version", "is written for version 999"),
        ("library_missing", "python -m pip install something"),
        ("missing_methods", "lacks "),
    ],
)
def test_a_broken_plugin_is_listed_with_its_reason(capsys, install_plugin, name, reason):
    install_plugin(f"bad/{name}.py", name="bad")
    _, backends = listing(capsys)
    assert backends["bad"]["state"] == "failed"
    assert reason in backends["bad"]["reason"]
    assert main(["info"]) == 0
    assert "acme-bad" in capsys.readouterr().out


def test_a_plugin_that_prints_does_not_spoil_the_json(capsys, install_plugin, tmp_path):
    (tmp_path / "chatty.py").write_text(f"print('good morning')\n{HOST}")
    install_plugin(tmp_path / "chatty.py")
    _, backends = listing(capsys)
    assert backends["chatty"]["usable"]
    assert backends["chatty"]["distribution"] == "acme-chatty"


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        ("property(lambda self: self.nothing)", ""),  # as if there were none
        ("'an abacus'", "an abacus"),
        ("property(lambda self: 1 / 0)", "which can't be told: ZeroDivisionError: division by zero"),
        ("property(lambda self: exit('no'))", "which can't be told: SystemExit: no"),
    ],
)
def test_a_backend_may_say_on_what_it_runs(capsys, install_plugin, tmp_path, description, shown):
    some = f'type("Some", (NumpyBackend,), {{"description": {description}}})()'
    (tmp_path / "some.py").write_text(HOST.replace("NumpyBackend()", some))
    install_plugin(tmp_path / "some.py")
    _, backends = listing(capsys)
    assert backends["some"]["usable"]
    assert backends["some"]["description"] == shown
    assert main(["backends"]) == 0
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize(("value", "status"), [("1", 0), ("perhaps", 1)])
def test_disabled_plugins_are_listed_and_not_run(capsys, monkeypatch, install_plugin, value, status):
    path = install_plugin("bad/leaves_a_trace.py", name="shy")
    monkeypatch.setenv("LUCID_DISABLE_PLUGINS", value)
    selected, backends = listing(capsys, expected_status=status)
    assert backends["shy"]["state"] == "disabled"
    assert "LUCID_DISABLE_PLUGINS" in backends["shy"]["reason"]
    assert backends["numpy"]["usable"]
    assert ("'perhaps' is not a Boolean" in selected["reason"]) == (value == "perhaps")
    assert os.environ["LUCID_DISABLE_PLUGINS"] == value
    assert main(["info"]) == 0
    assert not path.with_suffix(".ran").exists()


def test_a_name_that_will_not_do_alone_is_noted(capsys, install_plugin):
    install_plugin("good/host.py", name="numpy", distribution="impostor")
    for distribution in ("acme", "umbrella"):
        install_plugin("good/host.py", name="twin", distribution=distribution)
    assert main(["backends"]) == 0
    printed = capsys.readouterr().out
    assert "note: numpy alone is reserved for lucid-bce; ask for impostor:numpy\n" in printed
    assert "note: twin alone could be either; ask for acme:twin or umbrella:twin\n" in printed


def test_a_name_in_the_environment_that_nobody_has_is_noted(capsys, monkeypatch, install_plugin):
    install_plugin("good/host.py", distribution="acme")
    monkeypatch.setenv("LUCID_BLOCK_PLUGINS", "amce,somebody")
    assert main(["backends"]) == 0
    printed = capsys.readouterr().out
    assert "note: LUCID_BLOCK_PLUGINS names amce, which offers no backend here; did you mean acme?" in printed
    assert "note: LUCID_BLOCK_PLUGINS names somebody, which offers no backend here\n" in printed
    monkeypatch.setenv("LUCID_BLOCK_PLUGINS", "acme")
    assert main(["backends"]) == 0
    assert "note" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("torch:Tensor", 0, "torch: it lists torch:Tensor"),
        ("numpy:ndarray", 0, "numpy: it lists numpy:ndarray"),
        ("acme:Array", 1, "no backend: no installed backend lists acme:Array"),
    ],
)
def test_why_says_who_takes_an_array_and_starts_nothing(name, status, says):
    code = (
        "import sys; from lucid._cli import main; status = main(['backends', '--why', sys.argv[1]]); "
        "assert not {'numpy', 'cupy', 'torch'} & set(sys.modules); sys.exit(status)"
    )
    result = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr, result.returncode) == (f"{says}\n", "", status)


def test_why_as_json(capsys, monkeypatch, install_plugin):
    install_plugin("good/host.py")
    monkeypatch.setenv("LUCID_BACKEND", "host")
    assert main(["backends", "--why", "numpy:ndarray", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"backend": "host", "rule": "LUCID_BACKEND selects it, and it lists numpy:ndarray"}


def test_why_explains_a_selection_that_can_not_be(capsys, monkeypatch):
    monkeypatch.setenv("LUCID_BACKEND", "nunpy")
    assert main(["backends", "--why", "numpy:ndarray"]) == 1
    assert "no backend named 'nunpy' is installed. Did you mean 'numpy'?" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["torch.Tensor", "torch", "a:b:c", ":Tensor", "torch:"])
def test_why_says_how_to_name_a_class(capsys, name):
    with pytest.raises(SystemExit) as exit:
        main(["backends", "--why", name])
    assert exit.value.code == 2
    assert "is not module:qualname; for an array x it is" in capsys.readouterr().err


def test_info_names_versions_and_settings(capsys, monkeypatch):
    import numpy as np

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setenv("SECRET_TOKEN", "not for bug reports")
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["lucid-bce"] == lucid.__version__
    assert found["versions"]["numpy"] == np.__version__
    assert {"pluggy", "array-api-compat"} <= set(found["versions"])
    assert found["environment"]["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert "SECRET_TOKEN" not in found["environment"]
    assert main(["info"]) == 0
    assert "CUDA_VISIBLE_DEVICES  2,3" in capsys.readouterr().out


def test_info_imports_no_array_library():
    code = (
        "import sys; from lucid._cli import main; main(['info']); "
        "sys.exit(', '.join({'numpy', 'cupy', 'torch', 'dask', 'rich'} & set(sys.modules)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.stderr.strip(), result.returncode) == ("", 0)


def test_the_module_runs_as_the_command_does():
    command = [sys.executable, "-m", "lucid", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == f"lucid {lucid.__version__}\n"


@pytest.mark.parametrize("command", [[], ["backends"], ["info"], ["check"], ["bench"], ["new-backend"]])
def test_every_help_text_ends_in_examples(capsys, command):
    with pytest.raises(SystemExit) as exit:
        main([*command, "--help"])
    assert exit.value.code == 0
    printed = capsys.readouterr().out
    assert "\nexamples:\n  " in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_a_missing_command_is_an_error(capsys):
    with pytest.raises(SystemExit) as exit:
        main([])
    assert exit.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_check_says_what_passed_and_no_project_around_interferes(tmp_path):
    (tmp_path / "conftest.py").write_text("raise AssertionError('conftest.py was run')")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "mpmath.py").write_text("raise AssertionError('the wrong mpmath')")
    result = subprocess.run(
        [sys.executable, "-m", "lucid", "check", "numpy", "-k", "never_written_to"],
        env={**os.environ, "PYTEST_ADDOPTS": "--no-such-option", "LUCID_BACKEND": "nonsense"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stderr, result.returncode) == ("", 0)
    assert result.stdout.startswith("numpy: ")
    assert "cases passed in" in result.stdout
    assert len(result.stdout.splitlines()) == 1
    assert not (tmp_path / ".pytest_cache").exists()


def test_check_shows_the_failures_of_a_wrong_backend(capfd, monkeypatch, site, install_plugin, tmp_path):
    change = "    backend.bce = backend.bce_with_logits\n    return backend"
    (tmp_path / "wrong.py").write_text(HOST.replace("    return backend", change))
    install_plugin(tmp_path / "wrong.py")
    monkeypatch.setenv("PYTHONPATH", str(site))  # for the process that runs the kit
    assert main(["check", "wrong", "-k", "test_loss and float64 and sum and plain"]) == 1
    printed = capfd.readouterr().out
    assert "AssertionError" in printed
    assert re.search(r"^wrong: [1-9]\d* of \d+ cases failed in \d+ s$", printed, re.MULTILINE)


def test_check_shows_what_pytest_prints_if_asked(capfd):
    assert main(["check", "numpy", "-v", "-k", "never_written_to"]) == 0
    *pytests_own, last = capfd.readouterr().out.splitlines()
    assert " deselected in " in pytests_own[-1]
    assert last.startswith("numpy: ")


def test_check_of_no_case_at_all_does_not_pass(capfd):
    assert main(["check", "numpy", "-k", "no_case_has_this_name"]) == 1
    assert "numpy: no case ran in" in capfd.readouterr().out


def test_check_says_why_a_backend_can_not_run(capfd, install_plugin):
    install_plugin("bad/create_knows_why.py")
    assert main(["check", "create-knows-why"]) == 1
    assert "no device was found; plug one in" in capfd.readouterr().err
    assert main(["check", "nunpy"]) == 1
    assert "Did you mean 'numpy'?" in capfd.readouterr().err


def test_check_says_what_to_install(capfd, monkeypatch):
    monkeypatch.setattr("lucid._commands.check.find_spec", lambda name: None if name == "mpmath" else name)
    assert main(["check", "numpy"]) == 2
    assert (
        'the conformance kit needs mpmath; python -m pip install "lucid-bce[testing]"'
        in capfd.readouterr().err
    )


def test_check_says_if_the_kit_broke_off(capfd):
    assert main(["check", "numpy", "-k", "not ("]) == 2
    assert "broke off" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("outcome", "text", "status"),
    [
        (Outcome(5, 0, 0, 0), "5 cases passed", 0),
        (Outcome(5, 0, 1, 2), "2 cases passed, 1 failed as expected, 2 skipped", 0),
        (Outcome(5, 2, 1, 0), "2 of 5 cases failed, 1 failed as expected", 1),
        (Outcome(5, 0, 0, 5), "no case ran, 5 skipped", 1),
        (Outcome(0, 0, 0, 0), "no case ran", 1),
    ],
)
def test_an_outcome_in_words(outcome, text, status):
    assert (str(outcome), outcome.status) == (text, status)


def test_an_outcome_is_read_from_a_report(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_passes(): pass\n"
        "def test_fails(): assert False\n"
        "def test_errs(missing): pass\n"
        "def test_skips(): pytest.skip('reason')\n"
        "@pytest.mark.xfail(strict=True)\n"
        "def test_fails_as_expected(): assert False\n"
        "@pytest.mark.xfail(strict=True)\n"
        "def test_passes_unexpectedly(): pass\n"
    )
    report = tmp_path / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        f"--junitxml={report}",
    ]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert Outcome.read(report) == Outcome(cases=6, failed=3, xfailed=1, skipped=1)
