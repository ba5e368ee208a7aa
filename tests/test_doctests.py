"""Every example in a docstring."""

import doctest
import importlib
import pkgutil

import pytest

import lucid

MODULES = [
    info.name
    for info in pkgutil.walk_packages(lucid.__path__, "lucid.")
    if not info.name.endswith("__main__")
]


@pytest.mark.parametrize("name", ["lucid", *MODULES])
def test_examples_in_docstrings_are_right(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_most_public_names_have_an_example() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    documented = {
        test.name for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples
    }
    names = [*lucid.__all__, *(f"nn.{name}" for name in lucid.nn.__all__)]
    without = {
        name
        for name in names
        if callable(getattr(lucid.nn if "." in name else lucid, name.removeprefix("nn.")))
        and not any(each.endswith(f".{name.removeprefix('nn.')}") for each in documented)
    }
    assert without == {"BackendEntry", "Explanation", "refresh_backends"}
