"""Freeze what array_api_compat imports by names that it puts together."""

hiddenimports = ["array_api_compat.cupy.fft", "array_api_compat.cupy.linalg"]
