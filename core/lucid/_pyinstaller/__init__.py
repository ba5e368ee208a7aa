"""What PyInstaller has to be told of lucid, whose backends nothing imports by name.

It finds the hooks by an entry point of its own, and runs that of each package that it freezes.
"""

from pathlib import Path

__all__ = ["hook_dirs"]


def hook_dirs() -> list[str]:
    """Say where the hooks are."""
    return [str(Path(__file__).with_name("hooks"))]
