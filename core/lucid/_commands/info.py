"""`lucid info`: what a bug report needs."""

import argparse
import json
import os
import platform
import re
import sys
from contextlib import redirect_stdout, suppress
from importlib import metadata
from typing import Any, Final

import lucid
from lucid._admission import OURS
from lucid._commands._text import add_texts, aligned
from lucid._registry import Offer, registry
from lucid.errors import LucidError

__all__ = ["add", "run"]

HELP: Final = "print versions, platform and settings, for a bug report"
DESCRIPTION: Final = """\
Print what a bug report needs: the versions of lucid, of what it requires, of the installed plugins
and of their array libraries; the platform; and the environment variables that change what they do.
No array library is imported: `lucid backends` does that, and shows the devices that they find.
"""
EPILOG: Final = "examples:\n  lucid info\n  lucid info --json\n"

PREFIXES: Final = ("LUCID_", "CUDA_", "CUPY_", "MKL_", "NPY_", "OMP_", "OPENBLAS_", "PYTORCH_", "TORCH_")
"""How the environment variables begin that change what lucid or an array library does."""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("info", help=HELP)
    add_texts(parser, DESCRIPTION, EPILOG)
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of text")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what is installed, and what is set."""
    with redirect_stdout(sys.stderr):  # what a plugin prints is not part of the report
        versions = installed()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    host = f"{platform.platform()}, {os.cpu_count()} CPUs"
    settings = {name: value for name, value in sorted(os.environ.items()) if name.startswith(PREFIXES)}
    if options.json:
        found = {"versions": versions, "python": python, "platform": host, "environment": settings}
        print(json.dumps(found, indent=2))
    else:
        facts = [*versions.items(), ("python", python), ("platform", host), *settings.items()]
        print(aligned(facts))
    return 0


def installed() -> dict[str, str]:
    """Find the versions of lucid, of what it requires, of the plugins, and of their array libraries."""
    versions = {OURS: lucid.__version__}
    versions |= {name: version(name) for name in required()}
    distributions = metadata.packages_distributions()  # more than one, where wheels overwrote each other
    for offer in registry.offers():
        versions.setdefault(offer.distribution, offer.version)
        packages = sorted({re.split(r"[.:]", each, maxsplit=1)[0] for each in array_types(offer)})
        names = [name for package in packages for name in distributions.get(package, ())]
        versions |= {name: version(name) for name in sorted(names)}
    return versions


def required() -> list[str]:
    """Name the distributions that lucid can't do without."""
    with suppress(metadata.PackageNotFoundError):  # a source tree that was never installed
        lines = [line for line in metadata.requires(OURS) or () if "extra ==" not in line]
        return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines]
    return []


def version(distribution: str) -> str:
    """Return the version that is installed."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(distribution)
    return "not installed"


def array_types(offer: Offer) -> tuple[str, ...]:
    """Ask a plugin whose arrays it takes; none, if it is disabled or broken."""
    if registry.state(offer)[0] == "disabled":
        return ()
    try:
        return registry.info(offer).array_types
    except LucidError:
        return ()
