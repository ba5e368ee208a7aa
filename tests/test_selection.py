"""Which backend: argument > use_backend > set_backend > LUCID_BACKEND > numpy; and, for arrays, their own."""

import asyncio
import logging
import os
import threading

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid._selection import backend_of
from lucid.errors import BackendUnavailableError, MixedBackendError, UnknownBackendError

NAMES = ("one", "two", "three", "four")


@pytest.fixture
def four(install_plugin):
    """Install four backends that work."""
    for name in NAMES:
        install_plugin("good/host.py", name=name)


def selected():
    """The name of the backend that a list goes to."""
    return lucid.tensor([0.5]).backend.info.name


# The order


def test_numpy_is_the_default():
    assert selected() == lucid.get_backend().info.name == "numpy"


@pytest.mark.usefixtures("four")
def test_each_way_to_select_yields_to_the_next(monkeypatch):
    monkeypatch.setenv("LUCID_BACKEND", "one")
    assert selected() == "one"
    lucid.set_backend("two")
    assert selected() == "two"
    with lucid.use_backend("three"):
        assert selected() == "three"
        with lucid.use_backend("two"):
            assert selected() == "two"
        assert lucid.tensor([0.5], backend="four").backend.info.name == "four"
        assert lucid.get_backend("four").info.name == "four"
        assert selected() == "three"
    assert selected() == "two"
    lucid.set_backend(None)
    assert selected() == "one"


@pytest.mark.usefixtures("four")
def test_the_environment_is_read_when_it_is_needed(monkeypatch):
    assert selected() == "numpy"
    monkeypatch.setenv("LUCID_BACKEND", "one")
    assert selected() == "one"
    monkeypatch.setenv("LUCID_BACKEND", " two ")
    assert selected() == "two"
    monkeypatch.setenv("LUCID_BACKEND", "acme-three:three")
    assert selected() == "three"
    monkeypatch.setenv("LUCID_BACKEND", "")
    assert selected() == "numpy"


@pytest.mark.usefixtures("four")
def test_an_environment_that_was_put_in_the_place_of_the_real_one_is_read(monkeypatch):
    monkeypatch.setattr(os, "environ", {"LUCID_BACKEND": "two"})
    assert lucid.get_backend().info.name == "two"
    assert backend_of(np.ones(1)).info.name == "two"
    monkeypatch.setattr(os, "environ", {})
    assert backend_of(np.ones(1)).info.name == "numpy"


def test_an_error_says_that_the_environment_is_its_reason(monkeypatch):
    monkeypatch.setenv("LUCID_BACKEND", "nunpy")
    with pytest.raises(UnknownBackendError) as caught:
        lucid.zeros(2)
    assert caught.value.__notes__ == ["It was selected by LUCID_BACKEND."]


# Backends that can't run


def test_a_selected_backend_that_can_not_run_is_an_error(install_plugin, monkeypatch):
    install_plugin("bad/create_raises.py")
    monkeypatch.setenv("LUCID_BACKEND", "create-raises")
    with pytest.raises(BackendUnavailableError, match=r"libgpu\.so\.1"):
        lucid.zeros(2)


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("name", ["create-raises", "nobody", "create-raises,raises-at-import", ""])
def test_selecting_what_can_not_run_is_an_error_and_changes_nothing(install_plugin, name):
    install_plugin("bad/create_raises.py")
    install_plugin("bad/raises_at_import.py")
    lucid.set_backend("one")
    with pytest.raises((BackendUnavailableError, UnknownBackendError)):
        lucid.set_backend(name)
    assert selected() == "one"
    with pytest.raises((BackendUnavailableError, UnknownBackendError)), lucid.use_backend(name):
        pytest.fail("the block was entered")
    assert selected() == "one"


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("broken", ["create-raises", "raises-at-import"])
def test_asking_for_several_falls_back_and_logs_one_line(install_plugin, monkeypatch, caplog, broken):
    install_plugin(f"bad/{broken.replace('-', '_')}.py")
    monkeypatch.setenv("LUCID_BACKEND", f"{broken}, one,two")
    with caplog.at_level(logging.INFO):
        assert [selected() for _ in range(3)] == ["one"] * 3
        assert nn.BCELoss()(np.array([0.5]), np.array([1.0])) > 0
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("lucid", "WARNING")
    assert f"using backend 'one': backend '{broken}' (from acme-{broken} 1.0)" in record.getMessage()


@pytest.mark.usefixtures("four")
def test_the_first_of_several_is_taken_without_a_word(monkeypatch, caplog):
    monkeypatch.setenv("LUCID_BACKEND", "two,one,")
    with caplog.at_level(logging.INFO):
        assert selected() == "two"
    assert not caplog.records


def test_if_none_of_several_can_run_all_reasons_are_given(install_plugin):
    install_plugin("bad/create_raises.py")
    install_plugin("bad/raises_at_import.py")
    with pytest.raises(BackendUnavailableError, match=r"(?s)libgpu.*no licence"):
        lucid.get_backend("create-raises,raises-at-import")


def test_a_fallback_is_for_what_can_not_run_and_not_for_a_misspelling(install_plugin):
    install_plugin("bad/misspelt_hook.py")
    with pytest.raises(UnknownBackendError):
        lucid.get_backend("cuppy,numpy")
    with pytest.raises(lucid.errors.BackendProtocolError):
        lucid.get_backend("misspelt-hook,numpy")


# use_backend


@pytest.mark.usefixtures("four")
def test_use_backend_gives_the_backend_and_ends_with_its_block():
    with lucid.use_backend("one") as backend:
        assert lucid.get_backend() is backend
    assert selected() == "numpy"


@pytest.mark.usefixtures("four")
def test_use_backend_ends_with_an_exception_too():
    with pytest.raises(ZeroDivisionError), lucid.use_backend("one"):
        1 / 0  # noqa: B018
    assert selected() == "numpy"


@pytest.mark.usefixtures("four")
def test_use_backend_is_for_one_thread_and_set_backend_for_all():
    seen = []
    lucid.set_backend("two")
    with lucid.use_backend("one"):
        thread = threading.Thread(target=lambda: seen.append(selected()))
        thread.start()
        thread.join()
        assert selected() == "one"
    assert seen == ["two"]


@pytest.mark.usefixtures("four")
def test_use_backend_is_for_one_asyncio_task():
    async def work(name):
        with lucid.use_backend(name):
            for _ in range(3):
                await asyncio.sleep(0)
                assert selected() == name
        return selected()

    async def main():
        return await asyncio.gather(*map(work, NAMES))

    assert asyncio.run(main()) == ["numpy"] * len(NAMES)


@pytest.mark.usefixtures("four")
def test_use_backend_decorates_functions():
    assert lucid.use_backend("one")(selected)() == "one"
    assert selected() == "numpy"


# Data that has a backend already


def test_numpy_arrays_and_scalars_stay_with_numpy(install_plugin, monkeypatch):
    install_plugin("bad/create_raises.py")  # lists no array types
    monkeypatch.setenv("LUCID_BACKEND", "create-raises")
    loss = nn.BCELoss()(np.array([0.5, 0.25]), np.array([1.0, 1.0]))
    assert isinstance(loss, np.ndarray | np.generic)
    assert nn.BCELoss()(np.float64(0.5), np.float64(1.0)) == pytest.approx(np.log(2))


@pytest.mark.usefixtures("four")
def test_torch_tensors_stay_with_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with lucid.use_backend("one"):
        assert isinstance(nn.BCELoss()(torch.tensor([0.5]), torch.tensor([1.0])), torch.Tensor)
        assert lucid.tensor(torch.tensor([0.5])).backend.info.name == "torch"


def test_a_tensor_stays_where_it_is():
    here = lucid.tensor([0.5], backend="numpy")
    with pytest.raises(UnknownBackendError), lucid.use_backend("nobody"):
        pass
    assert (here + 1).backend is here.backend


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("spec", ["one", "one,numpy", "create-raises,one", "acme-one:one"])
def test_a_selected_backend_gets_the_arrays_that_it_lists(install_plugin, spec):
    install_plugin("bad/create_raises.py")
    array = np.array([0.5])
    assert lucid._selection.backend_of(array).info.name == "numpy"
    with lucid.use_backend(spec):
        assert lucid._selection.backend_of(array).info.name == "one"
        assert nn.BCELoss()(array, array) > 0


def test_a_selected_plugin_that_can_not_be_loaded_is_an_error_for_arrays_too(install_plugin, monkeypatch):
    install_plugin("bad/raises_at_import.py")
    monkeypatch.setenv("LUCID_BACKEND", "raises-at-import")
    with pytest.raises(BackendUnavailableError, match="no licence"):
        nn.BCELoss()(np.array([0.5]), np.array([1.0]))


def test_a_subclass_belongs_to_the_backend_of_its_base():
    class Named(np.ndarray):
        pass

    array = np.array([0.5, 0.25])
    assert lucid._selection.backend_of(array.view(Named)).info.name == "numpy"
    assert nn.BCELoss()(array.view(Named), array) == nn.BCELoss()(array, array)


def test_what_no_backend_lists_has_none():
    class Foreign:
        def __init__(self):
            self.shape = (1,)

    for value in (1, 0.5, True, [0.5], (0.5,), "text", None, Foreign()):
        assert lucid._selection.backend_of(value) is None


def test_arrays_that_know_their_shape_only_as_instances_are_recognised(install_plugin):
    class Foreign:
        def __init__(self):
            self.shape = (1,)

    path = install_plugin("good/host.py")
    listed = f'"numpy:ndarray", "{Foreign.__module__}:{Foreign.__qualname__}"'
    path.write_text(path.read_text().replace('"numpy:ndarray"', listed))
    assert lucid._selection.backend_of(Foreign()).info.name == "host"


@pytest.mark.usefixtures("four")
def test_mixing_two_libraries_is_an_error_that_names_both():
    p, y = (lucid.tensor([0.5], backend=name) for name in ("one", "two"))
    with pytest.raises(MixedBackendError, match=r"input lives on backend 'one' and target on 'two'"):
        nn.BCELoss()(p, y)
    with pytest.raises(MixedBackendError, match=r"operand lives on backend 'one' and the other on 'two'"):
        p + y
    with pytest.raises(MixedBackendError, match=r"input lives on backend 'one' and weight on 'two'"):
        nn.BCELoss(weight=y)(p, lucid.tensor([1.0], backend="one"))
