"""Module and Parameter: layers that know their parameters."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from lucid._tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Module", "Parameter", "Sequential"]


class Parameter(Tensor):
    """A tensor that a module owns and that training changes.

    Parameters
    ----------
    data : array, Tensor, number or nested sequence of numbers
        As for `lucid.Tensor`.
    requires_grad : bool
        True unless said otherwise.
    dtype, backend
        As for `lucid.Tensor`.

    Examples
    --------
    >>> import lucid.nn as nn
    >>> nn.Parameter([0.5, 1.5])
    Parameter([0.5, 1.5], dtype=float32, requires_grad=True)
    """

    __slots__ = ()

    def __init__(
        self, data: Any, requires_grad: bool = True, *, dtype: Any = None, backend: str | None = None
    ) -> None:
        super().__init__(data, dtype=dtype, requires_grad=requires_grad, backend=backend)


class Module:
    """A layer or a model: call it, and it calls its `forward`.

    A subclass defines ``forward``, and ``__init__``, which may set parameters and modules as attributes.

    Attributes
    ----------
    training : bool
        Whether it is being trained; set by `train` and `eval`.

    Examples
    --------
    >>> import lucid, lucid.nn as nn
    >>> class Model(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.linear = nn.Linear(2, 1)
    ...         self.sigmoid = nn.Sigmoid()
    ...     def forward(self, x):
    ...         return self.sigmoid(self.linear(x))
    >>> model = Model()
    >>> model
    Model(
      (linear): Linear(in_features=2, out_features=1, bias=True)
      (sigmoid): Sigmoid()
    )
    >>> model(lucid.zeros(3, 2)).shape
    (3, 1)
    """

    training: bool = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call `forward`."""
        return self.forward(*args, **kwargs)

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Iterate over the modules that this one holds directly, by name."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def modules(self) -> Iterator["Module"]:
        """Iterate over this module and all modules inside it, each once."""
        return (module for _, module in self._named_modules("", set()))

    def _named_modules(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, "Module"]]:
        if id(self) in seen:  # shared, or in a circle
            return
        seen.add(id(self))
        yield prefix, self
        for name, child in self.named_children():
            yield from child._named_modules(f"{prefix}{name}.", seen)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Iterate over all parameters, by their dotted names, each once, under the first name it has.

        Yields
        ------
        tuple of str and Parameter
            Such as ``("0.weight", parameter)``.
        """
        seen: set[int] = set()
        for prefix, module in self._named_modules("", set()):
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield prefix + name, value

    def parameters(self) -> Iterator[Parameter]:
        """Iterate over all parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode: bool = True) -> Self:
        """Set `training` on this module and all modules inside it.

        Parameters
        ----------
        mode : bool
            What to set it to.
        """
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set `training` to False on this module and all modules inside it."""
        return self.train(False)

    def state_dict(self) -> "dict[str, NDArray[Any]]":
        """Return copies of all parameters as NumPy arrays, by name: they load on any backend."""
        import numpy as np

        return {name: np.array(parameter.numpy()) for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: "Mapping[str, Any]") -> None:
        """Set all parameters from arrays; nothing is changed unless everything fits.

        Parameters
        ----------
        state : mapping of str to array
            What `state_dict` returned, on this backend or another; any library's arrays will do.

        Raises
        ------
        KeyError
            A parameter is missing, or there is one that this module has not.
        ValueError
            A shape differs.
        """
        own = dict(self.named_parameters())
        missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unexpected:
            raise KeyError(f"the state's names differ: missing {missing}, unexpected {unexpected}")
        loaded = {}
        for name, parameter in own.items():
            array = Tensor(state[name], backend="numpy").numpy()
            if array.shape != parameter.shape:
                raise ValueError(f"{name} has shape {parameter.shape}, and the state's {array.shape}")
            loaded[name] = parameter.backend.asarray(
                array, dtype=parameter.dtype, like=parameter.data, copy=True
            )
        for name, parameter in own.items():
            parameter._data = loaded[name]

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of the module's repr."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        extra = [self.extra_repr()] if self.extra_repr() else []
        return f"{type(self).__name__}(\n  " + "\n  ".join([*extra, *lines]) + "\n)"


class Sequential(Module):
    """Modules one after the other.

    Parameters
    ----------
    *modules : Module
        The first gets the input; each other gets the result of the one before it.

    Examples
    --------
    >>> import lucid, lucid.nn as nn
    >>> nn.Sequential(nn.ReLU(), nn.Sigmoid())(lucid.tensor([-1.0, 0.0]))
    Tensor([0.5, 0.5], dtype=float32)
    """

    def __init__(self, *modules: Module) -> None:
        for place, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(
                    f"Sequential takes modules, and argument {place} is a {type(module).__name__}"
                )
            setattr(self, str(place), module)

    def forward(self, input: Any) -> Any:
        """Pass the input through the modules in order."""
        for _, module in self.named_children():
            input = module(input)
        return input
