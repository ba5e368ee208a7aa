"""From what is installed to a backend that works, or to an error that says whose fault it is."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lucid
from lucid import errors
from lucid.errors import BackendProtocolError, BackendUnavailableError, UnknownBackendError


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


# Plugins that are broken

BROKEN = {
    "raises_at_import": (BackendUnavailableError, "failed at import: RuntimeError: no licence was found"),
    "exits_at_import": (
        BackendUnavailableError,
        "failed at import: SystemExit: this machine is not supported",
    ),
    "raises_when_asked": (
        BackendUnavailableError,
        "failed to describe itself: KeyError: 'raises-when-asked'",
    ),
    "other_api_version": (
        BackendProtocolError,
        "version 999 of lucid's backend API, and this lucid has version 1",
    ),
    "misspelt_hook": (BackendProtocolError, "unknown hook 'lucid_creat_backend'"),
    "misspelt_parameter": (BackendProtocolError, "nmae"),
    "forgets_hookimpl": (BackendProtocolError, "returned None, not a BackendInfo; does it carry @hookimpl?"),
    "leaves_a_trace": (BackendProtocolError, "returned None, not a BackendInfo"),
    "another_name": (BackendProtocolError, "calls itself 'tensorflow'"),
    "forgets_a_comma": (BackendProtocolError, "array_types is 'library:Array', not a tuple"),
    "no_create": (BackendProtocolError, "lucid_create_backend('no-create') returned None"),
    "create_raises": (BackendUnavailableError, "failed to start: OSError: libgpu.so.1: cannot open"),
    "create_knows_why": (BackendUnavailableError, "is not available: no device was found; plug one in"),
    "library_missing": (
        BackendUnavailableError,
        "'a_library_that_nobody_has'; python -m pip install something",
    ),
    "missing_methods": (
        BackendProtocolError,
        "lacks to_numpy, bce.backward, bce_with_logits.backward; see lucid.protocol",
    ),
    "another_info": (BackendProtocolError, "its backend says BackendInfo(name='numpy'"),
}


@pytest.mark.parametrize(
    ("file", "kind", "reason"), [(file, *rest) for file, rest in BROKEN.items()], ids=BROKEN
)
def test_a_broken_plugin_is_named_with_its_reason_and_leaves_the_others_usable(
    install_plugin, file, kind, reason
):
    install_plugin(f"bad/{file}.py", version="7.1")
    name = file.replace("_", "-")
    with pytest.raises(kind) as caught:
        lucid.get_backend(name)
    message = str(caught.value)
    assert f"backend '{name}' (from acme-{name} 7.1)" in message
    assert reason in message
    assert (entry(name).state, entry(name).reason) == ("failed", message)
    assert numpy_works()


def test_every_broken_plugin_is_tried(request):
    files = {path.stem for path in (request.path.parent / "plugins" / "bad").glob("*.py")}
    assert files == {*BROKEN, "is_interrupted_at_import"}


def test_the_error_inside_a_plugin_is_the_cause_of_ours(install_plugin):
    install_plugin("bad/raises_at_import.py")
    with pytest.raises(BackendUnavailableError) as caught:
        lucid.get_backend("raises-at-import")
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert isinstance(caught.value, ImportError)


def test_the_user_can_interrupt_the_import_of_a_plugin(install_plugin):
    install_plugin("bad/is_interrupted_at_import.py")
    with pytest.raises(KeyboardInterrupt):
        lucid.get_backend("is-interrupted-at-import")
    assert entry("is-interrupted-at-import").state == "not loaded"
    assert numpy_works()


def test_a_module_that_is_missing_is_an_error_of_its_plugin(install_plugin):
    install_plugin("good/host.py").unlink()
    lucid.refresh_backends()
    with pytest.raises(BackendUnavailableError, match="failed at import: ModuleNotFoundError"):
        lucid.get_backend("host")


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
    path.write_text(text.replace("numpy:ndarray", f"{Foreign.__module__}:{Foreign.__qualname__}"))
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


# LUCID_DISABLE_PLUGINS


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "yes", " Yes "])
def test_plugins_can_be_disabled(install_plugin, monkeypatch, value):
    install_plugin("good/host.py")
    lucid.get_backend("host")
    monkeypatch.setenv("LUCID_DISABLE_PLUGINS", value)
    with pytest.raises(
        UnknownBackendError, match=r"from acme-host 1\.0\) is installed, but LUCID_DISABLE_PLUGINS"
    ):
        lucid.get_backend("host")
    assert entry("host").state == "disabled"
    assert "LUCID_DISABLE_PLUGINS" in entry("host").reason
    assert lucid.backends(probe=True)[0].distribution == "lucid-bce"
    assert numpy_works()


@pytest.mark.parametrize("value", ["", "0", "false", "No"])
def test_plugins_are_enabled_otherwise(install_plugin, monkeypatch, value):
    install_plugin("good/host.py")
    monkeypatch.setenv("LUCID_DISABLE_PLUGINS", value)
    assert lucid.get_backend("host").info.name == "host"


@pytest.mark.parametrize("value", ["2", "on", "off", "y", "None"])
def test_anything_but_a_boolean_is_refused(monkeypatch, value):
    monkeypatch.setenv("LUCID_DISABLE_PLUGINS", value)
    with pytest.raises(ValueError, match=f"LUCID_DISABLE_PLUGINS='{value}' is not a Boolean"):
        lucid.get_backend("numpy")


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


def test_a_distribution_that_lost_its_metadata_is_listed_and_hurts_nobody(site: Path) -> None:
    folder = site / "ghost-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text("[lucid.backends]\nghost = no_such_module\n")
    lucid.refresh_backends()
    assert "ghost" in [entry.name for entry in lucid.backends()]
    assert lucid.get_backend("numpy").info.name == "numpy"
