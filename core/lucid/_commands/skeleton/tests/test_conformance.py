"""lucid's conformance kit, on this backend."""

from lucid.testing.conformance import *  # noqa: F403  # all of its tests
