"""Freeze the metadata that lists the backends, and the one that is there when none is chosen."""

from PyInstaller.utils.hooks import copy_metadata

datas = copy_metadata("lucid-bce")
hiddenimports = ["lucid_numpy"]
