"""The PyTorch backend's door: what lucid reads to know it. PyTorch is imported by `lucid_create_backend`."""

from typing import TYPE_CHECKING, Any

from lucid.errors import BackendUnavailableError
from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo

if TYPE_CHECKING:
    from lucid.protocol import Backend

INFO = BackendInfo(
    name="torch",
    api_version=1,
    array_types=("torch:Tensor",),
    requires='"lucid-bce[torch]"',
)


@hookimpl
def lucid_backend_info(name: str) -> BackendInfo | None:
    """Say what this is."""
    return INFO if name == INFO.name else None


@hookimpl
def lucid_create_backend(name: str) -> "Backend[Any] | None":
    """Start it."""
    if name != INFO.name:
        return None
    try:
        import torch  # noqa: F401  # only to say clearly that it is missing
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise BackendUnavailableError(
            f"PyTorch is not installed; python -m pip install {INFO.requires}"
        ) from None
    from lucid_torch.kernels import TorchBackend

    return TorchBackend()
