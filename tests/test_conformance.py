"""The shipped conformance kit, over every backend that is installed here."""

from lucid.testing.conformance import *  # noqa: F403  # the same tests, so that kit and suite cannot drift
