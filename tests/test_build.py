"""The extension is built where it can be; where it can't, nothing is lost but time."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import hatch_build  # noqa: E402  # it stands beside pyproject.toml


@pytest.fixture
def build(monkeypatch):
    """Run the hook without a compiler; return what it adds to a wheel, and its warnings."""

    def run(said: str):
        monkeypatch.setenv("CXX", "no-such-compiler")
        monkeypatch.setenv("LUCID_BUILD_NATIVE", said)
        warnings = []
        app = SimpleNamespace(display_warning=warnings.append)
        hook = hatch_build.NativeHook(str(ROOT), {}, None, None, "", "wheel", app)
        data = {"force_include": {}}
        hook.initialize("standard", data)
        return data, warnings

    return run


def test_without_a_compiler_the_wheel_is_for_every_platform(build) -> None:
    data, warnings = build("")
    assert data == {"force_include": {}}
    assert len(warnings) == 1
    assert "no-such-compiler" in warnings[0]


def test_who_insists_gets_the_reason(build) -> None:
    with pytest.raises(OSError, match="no-such-compiler"):
        build("1")


def test_it_can_be_left_out(build) -> None:
    assert build("0") == ({"force_include": {}}, [])


def test_another_word_is_refused(build) -> None:
    with pytest.raises(ValueError, match="LUCID_BUILD_NATIVE must be 0 or 1, not 'yes'"):
        build("yes")


def test_a_compiler_s_complaint_is_passed_on(tmp_path) -> None:
    with pytest.raises(RuntimeError, match="the complaint"):
        hatch_build.call([sys.executable, "-c", "import sys; sys.exit('the complaint')"])


def test_without_the_extension_numpy_s_operations_compute_the_losses() -> None:
    program = """
import sys
sys.modules["lucid_host._native"] = None  # as if it had not been built
import lucid_host, numpy, lucid.nn
assert lucid_host.INSTRUCTIONS is None
print(lucid.nn.BCELoss()(numpy.array([0.5, 1.0]), numpy.array([1, 1])))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(0.34657359)
