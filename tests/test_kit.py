"""The conformance kit as an author meets it: failures that a plugin lists, and names that are not unique."""

from pathlib import Path

import pytest

from lucid._cli import main

HOST = (Path(__file__).parent / "plugins" / "good" / "host.py").read_text()
FORGIVING = '''
import numpy as np
from lucid.protocol import Xfail


class Forgiving:
    """A loss that takes nan for 0, in float32."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.backward = kernel.backward

    def forward(self, spec, input, *operands, needs_grad):
        if input.dtype == "float32":
            input = np.nan_to_num(input)
        return self.kernel.forward(spec, input, *operands, needs_grad=needs_grad)


@hookimpl
def lucid_conformance_xfails(name):
    return [Xfail(case, "it forgives") for case in CASES]
'''
NAN_IN = "test_nan_in_is_nan_out"


@pytest.fixture
def check(install_plugin, site, tmp_path, monkeypatch, capfd):
    """Return a function that runs one test of the kit on a backend that expects some cases to fail."""
    monkeypatch.setenv("PYTHONPATH", str(site))  # for the process that runs the kit

    def run(*expected, name="all-forgiving", spec=None):
        create = "    backend.bce = Forgiving(backend.bce)\n    return backend"
        text = HOST.replace("    return backend", create) + FORGIVING.replace("CASES", repr(expected))
        (tmp_path / "forgiving.py").write_text(text)
        install_plugin(tmp_path / "forgiving.py", name=name)
        status = main(["check", spec or name, "-k", NAN_IN])
        printed = capfd.readouterr()
        return status, printed.out + printed.err

    return run


def test_a_failure_that_is_not_listed_fails(check):
    status, printed = check()
    assert status == 1
    assert "all-forgiving: 1 of 3 cases failed" in printed


def test_a_failure_that_is_listed_is_expected(check):
    status, printed = check(f"{NAN_IN}[float32]")
    assert status == 0
    assert "all-forgiving: 2 cases passed, 1 failed as expected" in printed


def test_a_listed_failure_that_passes_fails(check):
    status, printed = check(f"{NAN_IN}[float32]", f"{NAN_IN}[float64]")
    assert status == 1
    assert "[XPASS(strict)] it forgives" in printed
    assert "1 of 3 cases failed, 1 failed as expected" in printed


@pytest.mark.parametrize("case", [f"{NAN_IN}[float23]", NAN_IN, f"{NAN_IN}[all-forgiving-float32]"])
def test_a_listed_failure_that_is_no_case_is_an_error(check, case):
    status, printed = check(case)
    assert status == 2
    assert f"backend 'all-forgiving' expects '{case}' to fail, and there is none" in printed


def test_a_backend_whose_name_is_taken_is_checked_by_its_full_name(check):
    status, printed = check(f"{NAN_IN}[float32]", name="numpy", spec="acme-numpy:numpy")
    assert status == 0
    assert "acme-numpy:numpy: 2 cases passed, 1 failed as expected" in printed
