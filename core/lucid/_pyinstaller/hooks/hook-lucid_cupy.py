"""Freeze the source of the CUDA kernels, which are compiled when they are first called."""

from PyInstaller.utils.hooks import collect_data_files

datas = collect_data_files("lucid_cupy")
