"""What PyInstaller has to be told of lucid, whose backends nothing imports by name.

It finds this folder by an entry point of its own, and runs the hook of each package that it freezes.
"""

from pathlib import Path

__all__ = ["hook_dirs"]


def hook_dirs() -> list[str]:
    """Say where the hooks are."""
    return [str(Path(__file__).parent)]
