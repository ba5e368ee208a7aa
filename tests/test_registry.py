"""From what is installed to a backend that works, or to an error that says whose fault it is."""

import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import lucid
from lucid import errors
from lucid.errors import BackendUnavailableError, UnknownBackendError


def entry(name):
    """The one line of the listing that has this name."""
    (found,) = [entry for entry in lucid.backends() if entry.name == name]
    return found


def numpy_works():
    return lucid.tensor([0.5], backend="numpy").item() == 0.5


# Listing


def test_our_own_backends_are_listed_first():
    ours = [entry for entry in lucid.backends() if entry.distribution == "lucid-bce"]
    assert lucid.backends()[: len(ours)] == ours
    assert {"numpy", "torch", "cupy"} <= {entry.name for entry in ours}
    assert {entry.version for entry in ours} == {lucid.__version__}


def test_a_plugin_is_listed_with_its_distribution_and_version(install_plugin):
    install_plugin("good/host.py", distribution="Acme_Host", version="2.5")
    assert entry("host") == ("host", "acme-host", "2.5", "not loaded", "")


def test_a_backend_that_was_used_is_ready(install_plugin):
    install_plugin("good/host.py")
    lucid.get_backend("host")
    assert entry("host").state == "ready"


def test_listing_and_using_others_runs_nothing_of_a_plugin(install_plugin):
    path = install_plugin("bad/leaves_a_trace.py")
    assert entry("leaves-a-trace").state == "not loaded"
    assert numpy_works()
    assert lucid.nn.BCELoss()(lucid.tensor([0.5]).numpy(), lucid.tensor([1.0]).numpy()) > 0
    assert not path.with_suffix(".ran").exists()


def test_probing_starts_every_backend_and_tells_why_one_can_not_run(install_plugin):
    path = install_plugin("bad/leaves_a_trace.py")
    install_plugin("good/host.py")
    install_plugin("bad/create_raises.py")
    states = {entry.name: entry for entry in lucid.backends(probe=True)}
    assert path.with_suffix(".ran").exists()
    assert states["numpy"].state == states["host"].state == "ready"
    assert states["create-raises"].state == "failed"
    assert "libgpu.so.1" in states["create-raises"].reason


def test_the_metadata_is_scanned_once_until_it_is_refreshed(install_plugin, monkeypatch):
    from lucid import _registry

    install_plugin("good/host.py")
    scans, real_scan = [], _registry.scan
    monkeypatch.setattr(_registry, "scan", lambda: scans.append("scanned") or real_scan())
    for _ in range(3):
        lucid.backends()
        lucid.get_backend("host")
        assert numpy_works()
        with pytest.raises(UnknownBackendError):
            lucid.get_backend("nobody")
    assert len(scans) == 1
    lucid.refresh_backends()
    lucid.backends()
    assert len(scans) == 2


# Asking again


def test_failures_are_not_cached(install_plugin):
    path = install_plugin("bad/raises_at_import.py", name="host")
    with pytest.raises(BackendUnavailableError):
        lucid.get_backend("host")
    path.write_text((path.parent / install_plugin("good/host.py", name="other")).read_text())
    assert lucid.get_backend("host").info.name == "host"
    assert entry("host") == ("host", "acme-host", "1.0", "ready", "")


def test_a_class_that_no_plugin_could_answer_for_is_asked_about_again(install_plugin):
    class Foreign:
        shape = (1,)

    path = install_plugin("bad/raises_at_import.py", name="foreign")
    assert lucid._selection.backend_of(Foreign()) is None
    text = install_plugin("good/host.py", name="other").read_text()
    path.write_text(
        text.replace('"numpy:ndarray"', f'"numpy:ndarray", "{Foreign.__module__}:{Foreign.__qualname__}"')
    )
    assert lucid._selection.backend_of(Foreign()).info.name == "foreign"


# Installing while running


def test_refreshing_finds_what_was_installed_since(install_plugin):
    with pytest.raises(UnknownBackendError):
        lucid.get_backend("host")
    install_plugin("good/host.py")  # refreshes
    assert lucid.get_backend("host").info.name == "host"


def test_refreshing_forgets_failures(install_plugin):
    install_plugin("bad/create_raises.py")
    with pytest.raises(BackendUnavailableError):
        lucid.get_backend("create-raises")
    lucid.refresh_backends()
    assert entry("create-raises").state == "not loaded"


def test_refreshing_keeps_running_backends_so_that_their_tensors_go_on_working():
    before = lucid.tensor([1.0])
    lucid.refresh_backends()
    assert (before + lucid.tensor([1.0])).item() == 2.0


# Names


def test_two_distributions_that_offer_one_name_are_an_error_only_when_it_is_asked_for(install_plugin):
    install_plugin("good/host.py", name="twin", distribution="acme")
    install_plugin("good/host.py", name="twin", distribution="Umbrella.Corp", version="3.0")
    assert numpy_works()
    with pytest.raises(errors.AmbiguousBackendError) as caught:
        lucid.get_backend("twin")
    message = str(caught.value)
    assert "acme 1.0 and umbrella-corp 3.0" in message
    assert "'acme:twin' or 'umbrella-corp:twin'" in message


def test_naming_the_distribution_settles_an_ambiguity(install_plugin):
    install_plugin("good/host.py", name="twin", distribution="acme")
    install_plugin("good/host.py", name="twin", distribution="Umbrella.Corp")
    first, second = (lucid.get_backend(spec) for spec in ("acme:twin", "Umbrella_Corp:twin"))
    assert first is not second
    assert second is lucid.get_backend("umbrella-corp:twin")


def test_what_is_listed_is_the_name_to_ask_for(install_plugin):
    install_plugin("good/host.py", name="twin", distribution="acme")
    install_plugin("good/host.py", name="twin", distribution="Umbrella.Corp")
    install_plugin("good/host.py", name="numpy", distribution="impostor")
    install_plugin("good/host.py")
    names = [entry.name for entry in lucid.backends() if entry.distribution != "lucid-bce"]
    assert {"acme:twin", "umbrella-corp:twin", "impostor:numpy", "host"} <= set(names)
    assert lucid.get_backend("impostor:numpy").info.name == "numpy"
    assert entry("impostor:numpy").state == "ready"
    assert entry("numpy").distribution == "lucid-bce"


@pytest.mark.parametrize("name", ["numpy", "torch", "cupy"])
def test_nobody_else_gets_a_reserved_name_unasked(install_plugin, name):
    install_plugin("good/host.py", name=name, distribution="impostor")
    assert lucid.get_backend("numpy") is lucid.get_backend("lucid-bce:numpy")
    assert lucid.get_backend(f"impostor:{name}").info.requires == "numpy"
    assert lucid.get_backend(f"impostor:{name}") is not lucid.get_backend("numpy")
    assert lucid.tensor([0.5]).backend is lucid.get_backend("lucid-bce:numpy")


def test_a_reserved_name_says_how_to_ask_for_somebody_elses(install_plugin, monkeypatch):
    monkeypatch.setattr("lucid._registry.RESERVED", {"host"})
    install_plugin("good/host.py")
    with pytest.raises(UnknownBackendError, match="reserved for lucid-bce; ask for 'acme-host:host'"):
        lucid.get_backend("host")


@pytest.mark.parametrize("spelling", ["nunpy", "NumPy", "NUMPY", "nympy", "lucid-bce:numpi"])
def test_an_unknown_name_lists_what_is_installed_and_suggests_the_nearest(install_plugin, spelling):
    install_plugin("good/host.py")
    with pytest.raises(UnknownBackendError) as caught:
        lucid.get_backend(spelling)
    message = str(caught.value)
    assert f"no backend named {spelling!r} is installed. Did you mean 'numpy'? Installed: " in message
    assert {"cupy", "host", "numpy", "torch"} <= set(re.split("[ ,]+", message))
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize("spelling", ["", " ", ",", "lucid-bce:", "acme:numpy", "a:b:numpy"])
def test_what_is_no_name_is_unknown(spelling):
    with pytest.raises(UnknownBackendError):
        lucid.get_backend(spelling)


# Threads


def test_threads_that_ask_at_once_get_one_backend(install_plugin, monkeypatch):
    from lucid import _registry

    install_plugin("good/host.py")
    created, everybody_is_here = [], threading.Barrier(16)

    def create(offer, loaded):
        created.append(offer.name)
        return real_create(offer, loaded)

    def ask(_):
        everybody_is_here.wait()
        return lucid.get_backend("host")

    real_create = _registry.create
    monkeypatch.setattr(_registry, "create", create)
    with ThreadPoolExecutor(16) as pool:
        backends = set(pool.map(ask, range(16)))
    assert len(backends) == 1
    assert created == ["host"]


@pytest.fixture
def gate(monkeypatch):
    """Give what holds up the plugins that import it."""
    started = {name: threading.Event() for name in "ab"}
    gate = SimpleNamespace(reached=threading.Event(), open=threading.Event(), started=started)
    monkeypatch.setitem(sys.modules, "gate", gate)
    yield gate
    gate.open.set()


def test_a_plugin_that_is_slow_to_import_keeps_nobody_else_waiting(install_plugin, gate):
    install_plugin("good/slow.py")
    install_plugin("good/host.py")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lucid.get_backend, "slow")
        assert gate.reached.wait(60)
        assert entry("slow").state == "starting"
        assert "being started" in entry("slow").reason
        assert numpy_works()
        assert lucid.get_backend("host").info.name == "host"
        second = pool.submit(lucid.get_backend, "slow")
        assert not first.done()
        assert not second.done()
        gate.open.set()
        assert first.result(60) is second.result(60)
    assert entry("slow").state == "ready"


@pytest.mark.usefixtures("gate")
def test_plugins_that_wait_for_each_other_in_two_threads_fail_and_do_not_hang(install_plugin):
    names = ("a-needs-b", "b-needs-a")
    for name in names:
        install_plugin("good/needs_another.py", name=name)
    with ThreadPoolExecutor(2) as pool:
        errors = [future.exception(60) for future in [pool.submit(lucid.get_backend, name) for name in names]]
    for name, error in zip(names, errors, strict=True):
        assert isinstance(error, BackendUnavailableError)
        assert f"backend '{name}'" in str(error)
        assert "is being started, and needs itself for it" in str(error)
    assert numpy_works()


def test_what_is_refreshed_while_it_starts_is_started_once(install_plugin, gate):
    install_plugin("good/slow.py")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lucid.get_backend, "slow")
        assert gate.reached.wait(60)
        lucid.refresh_backends()
        gate.open.set()
        assert first.result(60) is lucid.get_backend("slow")
