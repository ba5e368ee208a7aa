"""CuPy's array-API namespace, and in it bfloat16, where CuPy has that: from CuPy 14 on, with ml_dtypes.

CuPy holds ml_dtypes' bfloat16 and computes on it, but has no name for it, and array-api-compat knows none.
"""

from types import SimpleNamespace
from typing import Any

import array_api_compat.cupy as standard
import cupy
import numpy as np

__all__ = ["namespace"]


def namespace() -> Any:
    """Return array-api-compat's, extended if there is anything to add."""
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        return standard
    own = np.dtype(bfloat16)
    if f"{own.char}->{own.char}" not in cupy.exp.types:
        return standard

    def isdtype(dtype: Any, kind: Any) -> bool:
        kinds = set(kind if isinstance(kind, tuple) else (kind,))
        if np.dtype(dtype) == own:
            return not kinds.isdisjoint({"real floating", "numeric", bfloat16, own})
        return bool(standard.isdtype(dtype, tuple(kinds - {bfloat16, own})))

    def where(condition: Any, a: Any, b: Any) -> Any:
        chosen = standard.where(condition, a, b)  # of two bfloat16 arrays CuPy makes one of float32
        dtypes = {getattr(each, "dtype", None) for each in (a, b)}
        return chosen.astype(own) if dtypes == {own} else chosen

    return SimpleNamespace(**{**vars(standard), "bfloat16": bfloat16, "isdtype": isdtype, "where": where})
