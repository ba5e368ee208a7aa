"""What lucid raises when a backend can't be had.

LucidError
├── UnknownBackendError (LookupError)       no installed backend has that name
├── AmbiguousBackendError                   several distributions offer that name
├── BackendUnavailableError (ImportError)   installed, but it can't run here
├── BackendProtocolError (TypeError)        the plugin breaks the contract
└── MixedBackendError (TypeError)           one operation was given arrays of two libraries

Bad values are plain ``ValueError`` and ``TypeError``.
"""

__all__ = [
    "AmbiguousBackendError",
    "BackendProtocolError",
    "BackendUnavailableError",
    "LucidError",
    "MixedBackendError",
    "UnknownBackendError",
]


class LucidError(Exception):
    """Base class of the errors that are lucid's own."""


class UnknownBackendError(LucidError, LookupError):
    """No installed backend has the name that was asked for."""


class AmbiguousBackendError(LucidError):
    """Several distributions offer the name; ``"distribution:name"`` settles it."""


class BackendUnavailableError(LucidError, ImportError):
    """The backend is installed and can't run here: a library, a driver or a device is missing or broken.

    A plugin raises it from ``lucid_create_backend`` with the reason alone; the registry adds whose it is.
    """


class BackendProtocolError(LucidError, TypeError):
    """The plugin does not keep the contract: another API version, a misspelt hook, a missing method."""


class MixedBackendError(LucidError, TypeError):
    """One operation was given arrays of two libraries; nothing is ever converted silently."""
