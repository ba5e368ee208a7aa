"""A plugin that has no hooks at all."""

from pathlib import Path

Path(__file__).with_suffix(".ran").touch()
