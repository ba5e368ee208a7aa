"""Which backend would take this, and by which rule: lucid.explain, and the log of dispatch."""

import logging

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.errors import BackendUnavailableError, UnknownBackendError


class Named(np.ndarray):
    pass


class Foreign:
    shape = (1,)

    def __dlpack__(self):
        raise NotImplementedError


class Readable:
    """What NumPy can read, as a data frame's column."""

    shape = (1,)

    def __array__(self, dtype=None, copy=None):
        return np.array([0.5])


EXPLAINED = {
    "array": (np.ones(1), "numpy", "it lists numpy:ndarray"),
    "scalar": (np.float32(1), "numpy", f"it lists numpy:generic, a base of {np.__name__}:float32"),
    "subclass": (
        np.ones(1).view(Named),
        "numpy",
        f"it lists numpy:ndarray, a base of {Named.__module__}:Named",
    ),
    "tensor": (lucid.ones(1), "numpy", "a tensor stays with its backend"),
    "list": ([0.5], "numpy", "numbers and lists go to the selected backend, by default this one"),
    "number": (0.5, "numpy", "numbers and lists go to the selected backend, by default this one"),
    "column": (Readable(), "numpy", "numbers and lists go to the selected backend, by default this one"),
    "foreign": (Foreign(), None, f"no installed backend lists {Foreign.__module__}:Foreign"),
}


@pytest.fixture(autouse=True)
def nothing_has_failed():
    lucid.refresh_backends()  # what fails in another test is told in an explanation


@pytest.mark.parametrize("case", EXPLAINED)
def test_an_explanation_names_the_backend_and_the_rule(case):
    value, backend, rule = EXPLAINED[case]
    assert lucid.explain(value) == (backend, rule)
    assert str(lucid.explain(value)) == f"{backend or 'no backend'}: {rule}"


@pytest.mark.parametrize("case", [case for case in EXPLAINED if case != "foreign"])
def test_an_operation_does_what_the_explanation_says(case):
    value, backend, _ = EXPLAINED[case]
    tensor = isinstance(value, lucid.Tensor)
    loss = nn.BCELoss(reduction="none")(value, value)
    if tensor:
        assert loss.backend.info.name == backend
    found = lucid._selection.backend_of(value)
    assert tensor or (found or lucid.get_backend()).info.name == backend


def test_what_nobody_takes_is_an_error_of_the_operation_too():
    with pytest.raises(TypeError, match=r"no installed backend takes a .*Foreign"):
        nn.BCELoss()(Foreign(), Foreign())


def test_an_explanation_says_who_selected(install_plugin, monkeypatch):
    install_plugin("good/host.py")
    monkeypatch.setenv("LUCID_BACKEND", "host")
    assert lucid.explain(np.ones(1)) == ("host", "LUCID_BACKEND selects it, and it lists numpy:ndarray")
    assert str(lucid.explain([1.0])).endswith(
        "go to the selected backend, which is this one by LUCID_BACKEND"
    )
    lucid.set_backend("acme-host:host")
    assert lucid.explain(np.ones(1)).rule == "lucid.set_backend selects it, and it lists numpy:ndarray"
    assert lucid.explain(np.ones(1)).backend == "acme-host:host"
    with lucid.use_backend("numpy,host"):
        assert lucid.explain(np.ones(1)) == (
            "numpy",
            "lucid.use_backend selects it, and it lists numpy:ndarray",
        )


def test_an_explanation_starts_no_backend(install_plugin, monkeypatch):
    install_plugin("bad/create_raises.py")
    monkeypatch.setenv("LUCID_BACKEND", "create-raises")
    assert lucid.explain([1.0]).backend == "create-raises"
    (entry,) = [entry for entry in lucid.backends() if entry.name == "create-raises"]
    assert entry.state == "not loaded"


def test_an_explanation_tells_which_plugins_could_not_be_asked(install_plugin):
    install_plugin("bad/raises_at_import.py")
    rule = lucid.explain(Foreign()).rule
    assert rule.startswith(f"no installed backend lists {Foreign.__module__}:Foreign; backend 'raises-at-im")
    assert "no licence was found" in rule


def test_an_explanation_of_what_can_not_be_is_the_error_of_the_operation(monkeypatch, install_plugin):
    monkeypatch.setenv("LUCID_BACKEND", "nunpy")
    with pytest.raises(UnknownBackendError, match="Did you mean 'numpy'"):
        lucid.explain(np.ones(1))
    install_plugin("bad/raises_at_import.py")
    monkeypatch.setenv("LUCID_BACKEND", "raises-at-import")
    with pytest.raises(BackendUnavailableError, match="no licence"):
        lucid.explain(np.ones(1))


# The log


def test_dispatch_is_logged_for_those_who_ask(caplog, monkeypatch):
    lucid.get_backend()
    nn.BCELoss()(np.array([0.5]), np.array([1.0]))
    assert not caplog.records
    with caplog.at_level(logging.DEBUG, "lucid.dispatch"):
        nn.BCELoss()(np.array([0.5]), np.array([1.0]))
        lucid.zeros(2)
        monkeypatch.setenv("LUCID_BACKEND", "numpy")
        lucid.zeros(2)
    assert {record.name for record in caplog.records} == {"lucid.dispatch"}
    messages = [record.getMessage() for record in caplog.records]
    assert "numpy:ndarray -> numpy (lists numpy:ndarray)" in messages
    assert messages[-2:] == [
        "what has no backend of its own -> numpy (selected by default)",
        "what has no backend of its own -> numpy (selected by LUCID_BACKEND)",
    ]


def test_the_first_dispatch_of_a_process_is_logged_too(caplog):
    lucid._selection._process.log = None
    lucid.refresh_backends()
    with caplog.at_level(logging.DEBUG, "lucid.dispatch"):
        nn.BCELoss()(np.array([0.5]), np.array([1.0]))
        assert "numpy:ndarray -> numpy (lists numpy:ndarray)" in caplog.messages
