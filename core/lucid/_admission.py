"""Which plugins the environment lets in.

``LUCID_DISABLE_PLUGINS=1`` keeps all of them out, ``LUCID_BLOCK_PLUGINS=dist,dist`` some, and
``LUCID_ALLOW_PLUGINS=dist,dist`` all but some. The variables are read whenever a plugin is looked for, and
never written. A plugin that is kept out is not imported: this is hygiene, and no sandbox for the others.
"""

import os
from typing import Final, NamedTuple

__all__ = ["OURS", "VARIABLES", "Admission", "flag", "normalized"]

OURS: Final = "lucid-bce"
DISABLE, ALLOW, BLOCK = VARIABLES = ("LUCID_DISABLE_PLUGINS", "LUCID_ALLOW_PLUGINS", "LUCID_BLOCK_PLUGINS")


def normalized(distribution: str) -> str:
    """Spell a distribution's name as PEP 503 does."""
    import re

    return re.sub(r"[-_.]+", "-", distribution).lower()


def flag(variable: str) -> bool:
    """Read a Boolean environment variable, strictly."""
    value = os.environ.get(variable, "")
    word = value.strip().lower()
    if word in {"", "0", "false", "no"}:
        return False
    if word in {"1", "true", "yes"}:
        return True
    raise ValueError(f"{variable}={value!r} is not a Boolean; use one of 0, 1, true, false, yes, no")


def distributions(variable: str) -> frozenset[str] | None:
    """Read a list of distributions, strictly; None if the variable is empty or not set."""
    import re

    value = os.environ.get(variable, "")
    if not value.strip():
        return None
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if not re.fullmatch(r"[a-zA-Z0-9]([\w.-]*[a-zA-Z0-9])?", name, re.ASCII):
            raise ValueError(
                f"{variable}={value!r} has {name!r}, which names no distribution; "
                f"list names such as lucid-jax, with commas between them"
            )
    return frozenset(map(normalized, names))


class Admission(NamedTuple):
    """What the three variables say at one moment."""

    disabled: bool
    allowed: frozenset[str] | None
    blocked: frozenset[str]

    @classmethod
    def read(cls) -> "Admission":
        """Read them, all of them, so that a misspelt one is an error wherever any plugin could be meant."""
        blocked = distributions(BLOCK) or frozenset()
        if OURS in blocked:
            raise ValueError(f"{BLOCK} names {OURS}, whose own backends can't be kept out")
        return cls(flag(DISABLE), distributions(ALLOW), blocked)

    def refusal(self, distribution: str) -> str:
        """Say why a distribution's plugins are kept out; "" if they are not."""
        if distribution == OURS:
            return ""
        if self.disabled:
            return f"{DISABLE} keeps it out"
        if distribution in self.blocked:
            return f"{BLOCK} keeps it out"
        if self.allowed is not None and distribution not in self.allowed:
            return f"{ALLOW} does not name it"
        return ""
