from typing import Any, Final

from numpy.typing import NDArray

instructions: Final[str]

def run(
    logits: bool,
    add: bool,
    input: NDArray[Any],
    target: NDArray[Any],
    weight: NDArray[Any] | float | None,
    pos_weight: NDArray[Any] | float | None,
    upstream: NDArray[Any] | float | None,
    losses: NDArray[Any] | None,
    slopes: NDArray[Any] | None,
    ignored: float | None,
    by_weight: bool,
    numbers: tuple[float, float, float, float, float],
    /,
) -> tuple[float, float, float, float] | None: ...
def copy(source: NDArray[Any], target: NDArray[Any], /) -> bool: ...
