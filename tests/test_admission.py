"""Which plugins the environment lets in: LUCID_DISABLE_PLUGINS, LUCID_ALLOW_PLUGINS, LUCID_BLOCK_PLUGINS."""

import os

import pytest

import lucid
from lucid._admission import VARIABLES
from lucid.errors import UnknownBackendError

DISABLE, ALLOW, BLOCK = VARIABLES


def state(name):
    """What the listing says of a backend."""
    (found,) = [(entry.state, entry.reason) for entry in lucid.backends() if entry.name == name]
    return found


def numpy_works():
    return lucid.tensor([0.5], backend="numpy").item() == 0.5


KEPT_OUT = {
    "disabled": ({DISABLE: "1"}, "LUCID_DISABLE_PLUGINS keeps it out"),
    "disabled in words": ({DISABLE: " Yes "}, "LUCID_DISABLE_PLUGINS keeps it out"),
    "blocked": ({BLOCK: "acme-host"}, "LUCID_BLOCK_PLUGINS keeps it out"),
    "blocked beside others": ({BLOCK: "somebody, Acme_Host"}, "LUCID_BLOCK_PLUGINS keeps it out"),
    "not allowed": ({ALLOW: "somebody,lucid-jax"}, "LUCID_ALLOW_PLUGINS does not name it"),
    "only ours allowed": ({ALLOW: "lucid-bce"}, "LUCID_ALLOW_PLUGINS does not name it"),
    "blocked though allowed": ({ALLOW: "acme-host", BLOCK: "acme.host"}, "LUCID_BLOCK_PLUGINS keeps it out"),
    "disabled though allowed": ({DISABLE: "true", ALLOW: "acme-host"}, "LUCID_DISABLE_PLUGINS keeps it out"),
}

LET_IN = {
    "nothing set": {},
    "all empty": dict.fromkeys(VARIABLES, ""),
    "all blank": dict.fromkeys(VARIABLES, " "),
    "not disabled": {DISABLE: "0"},
    "not disabled in words": {DISABLE: "No"},
    "allowed": {ALLOW: "acme-host"},
    "allowed, spelt otherwise": {ALLOW: "somebody , ACME__host"},
    "others blocked": {BLOCK: "somebody,acme-hos"},
}


def set_all(monkeypatch, variables):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)


@pytest.mark.parametrize("case", KEPT_OUT)
def test_a_plugin_that_is_kept_out_is_listed_with_the_reason_and_never_run(install_plugin, monkeypatch, case):
    class Foreign:
        shape = (1,)

    variables, reason = KEPT_OUT[case]
    path = install_plugin("bad/leaves_a_trace.py", name="host")
    set_all(monkeypatch, variables)
    with pytest.raises(UnknownBackendError) as caught:
        lucid.get_backend("host")
    assert str(caught.value) == f"backend 'host' (from acme-host 1.0) is installed, but {reason}"
    assert state("host") == ("disabled", reason)
    lucid.backends(probe=True)
    assert lucid._selection.backend_of(Foreign()) is None
    assert numpy_works()
    assert not path.with_suffix(".ran").exists()


@pytest.mark.parametrize("case", LET_IN)
def test_other_plugins_are_let_in(install_plugin, monkeypatch, case):
    install_plugin("good/host.py")
    set_all(monkeypatch, LET_IN[case])
    assert lucid.get_backend("host").info.name == "host"
    assert state("host") == ("ready", "")


def test_the_environment_is_read_each_time_that_a_plugin_is_asked_for(install_plugin, monkeypatch):
    install_plugin("good/host.py")
    for _ in range(2):
        assert lucid.get_backend("host").info.name == "host"
        monkeypatch.setenv(BLOCK, "acme-host")
        with pytest.raises(UnknownBackendError):
            lucid.get_backend("host")
        monkeypatch.delenv(BLOCK)


def test_arrays_go_on_being_computed_where_they_are_being_computed(install_plugin, monkeypatch):
    class Foreign:
        shape = (1,)

    path = install_plugin("good/host.py")
    listed = f'"numpy:ndarray", "{Foreign.__module__}:{Foreign.__qualname__}"'
    path.write_text(path.read_text().replace('"numpy:ndarray"', listed))
    running = lucid._selection.backend_of(Foreign())
    monkeypatch.setenv(DISABLE, "1")
    assert lucid._selection.backend_of(Foreign()) is running
    lucid.refresh_backends()
    assert lucid._selection.backend_of(Foreign()) is None


UNCLEAR = {
    "number": (DISABLE, "2", "is not a Boolean; use one of 0, 1, true, false, yes, no"),
    "on": (DISABLE, "on", "is not a Boolean"),
    "empty entry": (ALLOW, "acme-host,,lucid-jax", "has '', which names no distribution"),
    "comma at the end": (BLOCK, "acme-host,", "has '', which names no distribution"),
    "only a comma": (ALLOW, ",", "has '', which names no distribution"),
    "a backend of a distribution": (BLOCK, "acme:host", "has 'acme:host', which names no distribution"),
    "pattern": (ALLOW, "acme-*", "has 'acme-*', which names no distribution"),
    "spaces for commas": (BLOCK, "acme-host acme", "list names such as lucid-jax, with commas between them"),
    "version": (ALLOW, "acme-host==1.0", "names no distribution"),
    "ours": (BLOCK, "lucid_bce", "names lucid-bce, whose own backends can't be kept out"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_is_unclear_is_an_error_and_no_plugin_runs(install_plugin, monkeypatch, case):
    class Foreign:
        shape = (1,)

    variable, value, says = UNCLEAR[case]
    path = install_plugin("bad/leaves_a_trace.py", name="host")
    monkeypatch.setenv(variable, value)
    for ask in (
        lambda: lucid.get_backend("host"),
        lambda: lucid.get_backend("numpy"),
        lambda: lucid._selection.backend_of(Foreign()),
    ):
        with pytest.raises(ValueError, match=variable) as caught:
            ask()
        assert says in str(caught.value)
    assert state("host") == ("disabled", str(caught.value))
    assert state("numpy")[0] != "disabled"
    lucid.backends(probe=True)
    assert not path.with_suffix(".ran").exists()


def test_nothing_of_lucids_writes_to_the_environment(install_plugin, monkeypatch, capfd):
    from lucid._cli import main

    install_plugin("good/host.py")
    for value in ("1", "perhaps"):
        monkeypatch.setenv(DISABLE, value)
        before = dict(os.environ)
        with monkeypatch.context() as patch:
            patch.setattr(type(os.environ), "__setitem__", lambda *_: pytest.fail("it was written to"))
            for command in (["backends"], ["backends", "--why", "numpy:ndarray"], ["info"]):
                main(command)
            lucid.backends(probe=True)
        assert before == dict(os.environ)
