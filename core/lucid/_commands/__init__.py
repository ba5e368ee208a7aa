"""The commands of `lucid`, one a module."""
