"""Whatever is wrong with a plugin: one error that names it, and everything else goes on working."""

import ast
import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.errors import BackendProtocolError, BackendUnavailableError

PLUGINS = Path(__file__).parent / "plugins" / "bad"
FAILURES = Path(__file__).parent.parent / "docs" / "failures.csv"  # the table that the documentation shows


class Case(NamedTuple):
    """A broken plugin: what is wrong with it, what is raised, and what that says."""

    what: str
    error: str
    says: str

    @property
    def file(self):
        """The plugin, by its docstring."""
        return FILES[f"A plugin that {self.what.replace('``', '`')}."]

    @property
    def name(self):
        return self.file.removesuffix(".py").replace("_", "-")


FILES = {
    ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))): path.name
    for path in sorted(PLUGINS.glob("*.py"))
}
CASES = [Case(*row) for row in csv.reader(FAILURES.read_text(encoding="utf-8").splitlines()[1:])]
each_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def entry(name):
    """The one line of the listing that has this name."""
    (found,) = [entry for entry in lucid.backends() if entry.name == name]
    return found


def numpy_works():
    loss = nn.BCELoss()(np.array([0.5]), np.array([1.0]))
    return lucid.tensor([0.5], backend="numpy").item() == 0.5 and loss == pytest.approx(np.log(2))


@each_case
def test_a_broken_plugin_is_named_with_its_reason_and_leaves_the_others_usable(install_plugin, case):
    install_plugin("good/host.py", name="bystander")
    install_plugin(f"bad/{case.file}", version="7.1")
    name = case.name
    assert entry(name).state == "not loaded"
    for _ in range(2):
        with pytest.raises(getattr(lucid.errors, case.error)) as caught:
            lucid.get_backend(name)
        message = str(caught.value)
        assert f"backend '{name}' (from acme-{name} 7.1)" in message
        assert case.says in message
        assert (entry(name).state, entry(name).reason) == ("failed", message)
    assert numpy_works()
    assert lucid.tensor([0.5], backend="bystander").item() == 0.5


@each_case
def test_a_broken_plugin_is_passed_over_when_an_unfamiliar_array_looks_for_its_backend(install_plugin, case):
    class Foreign:
        shape = (1,)

    install_plugin(f"bad/{case.file}", name="aaa", distribution="acme")
    path = install_plugin("good/host.py", name="zzz")
    listed = f'"numpy:ndarray", "{Foreign.__module__}:{Foreign.__qualname__}"'
    path.write_text(path.read_text().replace('"numpy:ndarray"', listed))
    assert lucid._selection.backend_of(Foreign()).info.name == "zzz"


def test_every_broken_plugin_is_tried():
    files = {path.name for path in PLUGINS.glob("*.py")}
    assert files == {*(case.file for case in CASES), "is_interrupted_at_import.py"}


def test_what_a_plugin_has_replaced_is_itself_again(install_plugin):
    before = nn.BCELoss, lucid.kernels.ArrayKernel.forward
    for file in ("rebinds_a_class", "rebinds_a_method"):
        install_plugin(f"bad/{file}.py")
        with pytest.raises(BackendProtocolError):
            lucid.get_backend(file.replace("_", "-"))
    assert (nn.BCELoss, lucid.kernels.ArrayKernel.forward) == before


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


def test_a_distribution_that_lost_its_metadata_is_listed_and_hurts_nobody(site):
    folder = site / "ghost-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text("[lucid.backends]\nghost = no_such_module\n")
    lucid.refresh_backends()
    assert entry("ghost").distribution == "unknown"
    assert numpy_works()


@pytest.mark.parametrize("broken", [b"[lucid.backends]\nnonsense\n", b"[lucid.backends]\n\xff = x\n"])
def test_a_distribution_whose_entry_points_can_not_be_read_hurts_nobody(site, install_plugin, caplog, broken):
    folder = site / "garbled-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: garbled\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_bytes(broken)
    install_plugin("good/host.py")
    assert [entry.name for entry in lucid.backends()][-1] == "host"
    assert lucid.tensor([0.5], backend="host").item() == 0.5
    assert numpy_works()
    assert "the metadata of some distribution can't be read" in caplog.text


def test_a_distribution_whose_metadata_can_not_be_read_is_listed_and_hurts_nobody(site, install_plugin):
    install_plugin("good/host.py")
    (site / "acme_host-1.0.dist-info" / "METADATA").write_bytes(b"Name: \xff\xfe\n")
    lucid.refresh_backends()
    assert lucid.get_backend("host").info.name == "host"
    assert entry("host").version == "0"
    assert numpy_works()


def test_a_plugin_that_claims_the_arrays_of_numpy_gets_them_only_if_it_is_selected(install_plugin):
    install_plugin("good/host.py", name="aaa")
    lucid.get_backend("aaa")
    assert lucid._selection.backend_of(np.ones(1)).info.name == "numpy"
    with lucid.use_backend("aaa"):
        assert lucid._selection.backend_of(np.ones(1)).info.name == "aaa"


def test_what_a_plugin_prints_is_not_printed_until_it_is_asked_for(install_plugin, tmp_path, capfd):
    text = install_plugin("good/host.py", name="quiet").read_text()
    (tmp_path / "chatty.py").write_text(f"print('good morning')\n{text}")
    install_plugin(tmp_path / "chatty.py")
    lucid.backends()
    assert numpy_works()
    assert capfd.readouterr().out == ""
    assert lucid.get_backend("chatty").info.name == "chatty"
    assert capfd.readouterr().out == "good morning\n"
    assert entry("chatty") == ("chatty", "acme-chatty", "1.0", "ready", "")
