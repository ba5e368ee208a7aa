"""What can be wrong with the operands of a loss, and what to say of it."""

from typing import TYPE_CHECKING, Any

from lucid._convert import dtype_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fits", "in_range", "not_floating", "unequal"]

Shape = tuple[int, ...]


def not_floating(dtype: Any, kernel: str) -> str:
    """Say that the input has to be floating."""
    what = "probabilities" if kernel == "bce" else "logits"
    return (
        f"the input must hold floating-point {what}, and its dtype is {dtype_name(dtype)}; convert it, for "
        f"example to float32 (the target may be of any real dtype; is the order (input, target)?)"
    )


def unequal(input: Shape, target: Shape) -> str:
    """Say that the two shapes have to be equal, and what may have been meant."""
    message = f"input has shape {input} and target {target}; they must be equal"
    without = [tuple(n for n in shape if n != 1) for shape in (input, target)]
    if without[0] == without[1]:
        smaller, name, other = (
            (target, "target", input) if len(target) <= len(input) else (input, "input", target)
        )
        message += f"; did you mean {name}.reshape({', '.join(map(str, other))})?" if smaller != other else ""
    return message


def fits(name: str, weight: Shape, input: Shape) -> None:
    """Raise unless a weight broadcasts to the input's shape without enlarging it."""
    padded = (1,) * (len(input) - len(weight)) + weight
    if len(weight) <= len(input) and all(w in (1, n) for w, n in zip(padded, input, strict=True)):
        return
    message = f"{name} of shape {weight} does not broadcast to the input's shape {input}"
    if len(weight) == 1 and len(input) > 1 and weight[0] == input[0]:
        ones = ", ".join(["None"] * (len(input) - 1))
        message += f"; one weight for each row is {name}[:, {ones}]"
    elif len(weight) > len(input) or any(n == 1 for n in input):
        message += f"; a {name} never enlarges the input"
    raise ValueError(message)


def in_range(name: str, values: "NDArray[Any]", kept: "NDArray[Any] | None", *, logits: bool) -> None:
    """Raise on the first value outside [0, 1]; nan is no such value."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        outside = (values < 0) | (values > 1)
    if kept is not None:
        outside &= kept
    if not outside.any():
        return
    position = tuple(int(n) for n in np.unravel_index(int(outside.argmax()), outside.shape))
    where = f"{name}[{', '.join(map(str, position))}]" if position else name
    message = (
        f"{where} is {values[position]}, outside [0, 1] ({int(outside.sum())} of {values.size} values are)"
    )
    if logits:
        message += "; for logits, values before a sigmoid, use BCEWithLogitsLoss"
    elif kept is None and (values[position] < 0 or values[position] > 1):
        message += "; a label that marks elements to leave out is given as ignore_index"
    raise ValueError(message)
