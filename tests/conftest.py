"""What every test starts from, and how a test installs a plugin."""

import tomllib
from collections.abc import Callable, Generator, Iterator
from itertools import count
from pathlib import Path

import pytest

import lucid
from lucid._admission import VARIABLES

PLUGINS = Path(__file__).parent / "plugins"
serial = count()  # no two installed modules share a name, whatever an earlier test has left in sys.modules


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let an environment say what it lacks (nothing else may be the reason of a skip), and run more."""
    parser.addoption(
        "--may-lack", action="append", metavar="PACKAGE", help="fail on any skip but for its lack"
    )
    parser.addoption(
        "--mean-of", type=int, metavar="N", help="check means of 2**N elements, not only of some millions"
    )
    parser.addoption("--long", action="store_true", help="also run what takes more than ten seconds")


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of what takes long."""
    config.addinivalue_line("markers", "long: takes more than ten seconds; run by --long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless it is asked for."""
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip that the environment does not account for into a failure."""
    report = yield
    packages = item.config.getoption("--may-lack")
    if report.skipped and packages is not None and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(package in reason.lower() for package in packages):
            report.outcome, report.longrepr = "failed", f"an unexpected skip: {reason}"
    return report


@pytest.fixture(autouse=True)
def nothing_is_selected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take back what the environment, or an earlier test, has selected."""
    for variable in ("LUCID_BACKEND", *VARIABLES):
        monkeypatch.delenv(variable, raising=False)
    lucid.set_backend(None)
    yield
    lucid.set_backend(None)


@pytest.fixture
def early_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start threads for fewer elements than pays: what a test says of threads is then about some."""
    monkeypatch.setattr("lucid_host.walk.ENOUGH", 1 << 16)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder that is searched for modules and metadata, as site-packages is."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    lucid.refresh_backends()


@pytest.fixture
def install_plugin(site: Path) -> Callable[..., Path]:
    """Return a function that does what pip does: it puts down a module, and the metadata that names it.

    The module is a file under ``plugins``; the backend's name is the file's, and the distribution's is
    ``acme-`` and that, unless said otherwise. The function returns the installed module's path.
    """

    def install(file: str, *, name: str = "", distribution: str = "", version: str = "1.0") -> Path:
        source = PLUGINS / file
        name = name or source.stem.replace("_", "-")
        module = f"{source.stem}_{next(serial)}"
        path = site / f"{module}.py"
        path.write_text(source.read_text())
        write_metadata(site, distribution or f"acme-{name}", version, f"{name} = {module}")
        lucid.refresh_backends()
        return path

    return install


@pytest.fixture
def install_sources(site: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """Return a function that does what pip does for an editable distribution; it gives the backend's name."""

    def install(sources: Path) -> str:
        project = tomllib.loads((sources / "pyproject.toml").read_text())["project"]
        ((name, module),) = project["entry-points"]["lucid.backends"].items()
        write_metadata(site, project["name"], project["version"], f"{name} = {module}")
        monkeypatch.syspath_prepend(sources)
        lucid.refresh_backends()
        return str(name)

    return install


@pytest.fixture
def lucid_strict(install_sources: Callable[[Path], str]) -> str:
    """Install the third-party distribution lucid-strict from its sources, and give its backend's name."""
    pytest.importorskip(
        "array_api_strict", reason="array-api-strict, which lucid-strict needs, is not installed"
    )
    return install_sources(PLUGINS / "good" / "lucid-strict")


def write_metadata(site: Path, distribution: str, version: str, entry_point: str) -> None:
    """Write what importlib.metadata reads of an installed distribution."""
    folder = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (folder / "entry_points.txt").write_text(f"[lucid.backends]\n{entry_point}\n")
