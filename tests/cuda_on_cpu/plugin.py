"""A pytest plugin that puts the stand-in in place: ``-p cuda_on_cpu.plugin``."""

import pytest

from cuda_on_cpu.build import CannotStandInError
from cuda_on_cpu.install import install


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Do so before a test module can import CuPy."""
    try:
        install()
    except CannotStandInError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header() -> str:
    """Say so: what passes here has not run on a GPU."""
    return "CuPy runs on the CPU, through the stand-in for CUDA"
