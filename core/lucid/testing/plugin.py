"""A pytest plugin that runs a test once for each backend.

Options, both repeatable: ``--backend NAME`` chooses backends (without it: all that are installed and usable),
and ``--require NAME`` also makes it a failure that one can't run: a GPU job without a GPU must not be green.
A test asks for the fixture ``backend``; with a parameter ``dtype`` beside it, it runs once for each floating
dtype that the backend has.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

import lucid
from lucid._registry import registry
from lucid.errors import LucidError
from lucid.protocol import Backend

pytest.register_assert_rewrite(
    *(f"lucid.testing.{each}" for each in ("conformance", "edges", "harness", "operands", "validation"))
)

DTYPES = ("float16", "bfloat16", "float32", "float64")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("lucid")
    group.addoption(
        "--backend", action="append", default=[], metavar="NAME", help="a lucid backend to test (repeatable)"
    )
    group.addoption(
        "--require",
        action="append",
        default=[],
        metavar="NAME",
        help="a lucid backend to test, which fails rather than skips if it can't run (repeatable)",
    )


def chosen(config: pytest.Config) -> list[str]:
    """Name the backends that are to be tested."""
    asked = dict.fromkeys([*config.getoption("--backend"), *config.getoption("--require")])
    return list(asked) or [entry.name for entry in lucid.backends() if entry.state != "disabled"]


def usable(name: str) -> Backend[Any] | str:
    """Return a backend, or the reason why there is none."""
    try:
        return lucid.get_backend(name)
    except LucidError as error:
        return str(error)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is tested, and what is not."""
    backends = {name: usable(name) for name in chosen(config)}
    tested = [name for name, backend in backends.items() if not isinstance(backend, str)]
    return [
        f"lucid {lucid.__version__}, backends: {', '.join(tested) or 'none'}",
        *(f"not tested: {reason}" for reason in backends.values() if isinstance(reason, str)),
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for each backend that is usable or required, and each of its dtypes."""
    required = metafunc.config.getoption("--require")
    if "installed_backend" in metafunc.fixturenames:
        metafunc.parametrize("installed_backend", chosen(metafunc.config))
    if "backend" not in metafunc.fixturenames:
        return
    backends = {name: usable(name) for name in chosen(metafunc.config)}
    tested = {name: b for name, b in backends.items() if not isinstance(b, str) or name in required}
    if "dtype" in metafunc.fixturenames:
        pairs = [(name, dtype) for name, b in tested.items() for dtype in DTYPES if has_dtype(b, dtype)]
        metafunc.parametrize(("backend", "dtype"), pairs, indirect=["backend"], scope="session")
    else:
        metafunc.parametrize("backend", list(tested), indirect=True, scope="session")


def has_dtype(backend: Backend[Any] | str, dtype: str) -> bool:
    """Whether a backend has a dtype; one that can't run is given a single one to fail with."""
    return dtype == "float64" if isinstance(backend, str) else hasattr(backend.xp, dtype)


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend[Any]:
    """Give a backend, which is selected while the test runs."""
    found = usable(request.param)
    if isinstance(found, str):
        pytest.fail(f"a required backend can't run: {found}")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Select the backend for the test alone: the fixture lives on into tests that don't ask for it."""
    name = item.callspec.params.get("backend") if hasattr(item, "callspec") else None
    with lucid.use_backend(name) if name else nullcontext():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect the failures that a plugin lists; one that matches no case is an error."""
    if any("::" in argument for argument in config.args):
        return
    cases = [item for item in items if item.name and getattr(item, "module", None) and in_kit(item)]
    for name in chosen(config) if cases else ():
        if isinstance(usable(name), str):
            continue
        for xfail in registry.xfails(name):
            matching = [item for item in cases if case_of(item, name) == xfail.case]
            if not matching:
                raise pytest.UsageError(f"backend {name!r} expects {xfail.case!r} to fail, and there is none")
            for item in matching:
                item.add_marker(pytest.mark.xfail(reason=xfail.reason, strict=True))


def in_kit(item: pytest.Item) -> bool:
    """Whether a test is one of the conformance kit's."""
    return isinstance(item, pytest.Function) and item.module.__name__.endswith("conformance")


def case_of(item: pytest.Item, backend: str) -> str | None:
    """Name a case of a backend without the backend: "test_loss[float32-bce-edges-plain-mean]"."""
    parameters = getattr(item, "callspec", None)
    if parameters is None or parameters.params.get("backend") != backend:
        return None
    rest = f"-{parameters.id}-".replace(f"-{backend}-", "-", 1).strip("-")
    return f"{getattr(item, 'originalname', item.name)}[{rest}]"
