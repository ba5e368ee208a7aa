"""What an import costs: nothing but lucid, until something is computed."""

import os
import subprocess
import sys

import pytest

import lucid

ARRAY_LIBRARIES = ("numpy", "cupy", "torch", "dask", "array_api_compat", "array_api_strict")
BACKENDS = ("lucid_numpy", "lucid_cupy", "lucid_torch", "lucid_dask", "lucid_strict")


@pytest.fixture
def imported_by(site):
    """Return a function that runs code in a process of its own, and names the packages that it imported."""

    def run(code):
        script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
        paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        return set(done.stdout.split())

    return run


def test_importing_lucid_imports_neither_an_array_library_nor_pluggy(imported_by):
    assert imported_by("import lucid").isdisjoint([*ARRAY_LIBRARIES, *BACKENDS, "pluggy"])


def test_listing_the_backends_imports_no_array_library_and_no_plugin(imported_by, install_plugin):
    path = install_plugin("bad/leaves_a_trace.py")
    imported = imported_by("import lucid\nassert 'leaves-a-trace' in {e.name for e in lucid.backends()}")
    assert imported.isdisjoint([*ARRAY_LIBRARIES, *BACKENDS, path.stem])
    assert not path.with_suffix(".ran").exists()


def test_computing_with_one_backend_imports_no_other(imported_by, install_plugin):
    path = install_plugin("bad/leaves_a_trace.py")
    imported = imported_by("import lucid\nlucid.nn.BCELoss()(lucid.tensor([0.5]), lucid.tensor([1.0]))")
    others = {*ARRAY_LIBRARIES, *BACKENDS} - {"numpy", "array_api_compat", "lucid_numpy"}
    assert {"numpy", "lucid_numpy"} <= imported
    assert imported.isdisjoint([*others, path.stem])


@pytest.mark.parametrize("name", ["lucid_numpy", "lucid_cupy", "lucid_torch"])
def test_the_door_of_a_backend_imports_no_array_library(imported_by, name):
    assert imported_by(f"import {name}\n{name}.lucid_backend_info('numpy')").isdisjoint(ARRAY_LIBRARIES)


def test_recognising_an_array_imports_no_array_library(imported_by):
    code = (
        "from lucid._selection import backend_of\nclass Foreign: shape = ()\nassert not backend_of(Foreign())"
    )
    assert imported_by(code).isdisjoint(ARRAY_LIBRARIES)


def test_every_public_name_is_there_without_being_imported_first(imported_by):
    code = "import lucid\nfor name in lucid.__all__: assert name in dir(lucid) and getattr(lucid, name)"
    assert "numpy" not in imported_by(code)
    assert imported_by("from lucid import *\ntensor, nn.BCELoss, errors.LucidError, explain") >= {"lucid"}


def test_what_is_no_public_name_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'lucid' has no attribute 'nonsense'"):
        _ = lucid.nonsense
