"""`lucid new-backend`: what it writes works, and it writes over nothing."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid._cli import main
from lucid.protocol import API_VERSION


@pytest.fixture
def written(install_sources, tmp_path, capsys):
    """Return a function that has a distribution written, and installs it."""

    def write(name):
        assert main(["new-backend", name, "--into", str(tmp_path)]) == 0
        folder = tmp_path / f"lucid-{name}"
        assert f'pip install -e "{folder}[test]"\n  lucid check {name}\n' in capsys.readouterr().out
        assert install_sources(folder) == name
        return folder

    yield write
    for module in [name for name in sys.modules if name.startswith("lucid_") and "skel" in name]:
        del sys.modules[module]


@pytest.mark.parametrize("name", ["skel", "my-skeleton", "skel2_b"])
def test_what_is_written_is_a_backend_that_works(written, name):
    folder = written(name)
    backend = lucid.get_backend(name)
    assert backend.info.name == name
    assert backend.info.api_version == API_VERSION
    with lucid.use_backend(name):
        p, y = np.array([0.25, 1.0]), np.array([1, 0])
        loss, gradient = nn.BCELoss(reduction="none").value_and_grad(p, y)
        assert lucid.explain(p).backend == name
    np.testing.assert_allclose(loss, [-np.log(0.25), 100.0])
    np.testing.assert_allclose(gradient[0], -4.0)
    module = importlib.import_module(type(backend).__module__)
    assert os.path.commonpath([module.__file__, folder]) == str(folder)
    texts = [path.read_text() for path in folder.rglob("*") if path.suffix in {".py", ".toml", ".md"}]
    assert not any(
        "skeleton" in text.lower().replace("skeleton" * ("skeleton" in name), "") for text in texts
    )


def test_what_is_written_passes_its_own_tests(written, site):
    folder = written("skel")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-k", "float32 and bce-edges or not float"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(folder)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout
    assert "skipped" not in result.stdout


TAKEN = {
    "numpy": "the name 'numpy' is reserved for lucid-bce",
    "dask": "the name 'dask' is reserved for lucid-bce",
    "bce": "the name 'bce' is reserved for lucid-bce",
    "host": "the name is taken: a package lucid_host is installed",
    **dict.fromkeys(("Jax", "a b", "a--b", "-a", "a-", "9a", "a/b", "..", "ä", ""), "won't do as a name"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_name_that_will_not_do_is_refused(tmp_path, capsys, name):
    assert main(["new-backend", f"--into={tmp_path}", "--", name]) == 2
    assert TAKEN[name] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_name_that_somebody_offers_is_refused(tmp_path, capsys, install_plugin):
    install_plugin("good/host.py", name="acme", distribution="umbrella")
    assert main(["new-backend", "acme", f"--into={tmp_path / 'nowhere'}"]) == 2
    assert "the name is taken: backend 'acme' (from umbrella 1.0) is installed" in capsys.readouterr().err


def test_nothing_is_written_over(tmp_path, capsys):
    (tmp_path / "lucid-acme").mkdir()
    assert main(["new-backend", "acme", f"--into={tmp_path}"]) == 2
    assert "lucid-acme exists already; nothing was written" in capsys.readouterr().err
    assert not list((tmp_path / "lucid-acme").iterdir())


def test_a_folder_that_is_not_there_is_an_error(tmp_path, capsys):
    assert main(["new-backend", "acme", f"--into={tmp_path / 'nowhere'}"]) == 2
    assert "nowhere" in capsys.readouterr().err
