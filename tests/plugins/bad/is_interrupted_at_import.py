"""A plugin whose import the user interrupts."""

raise KeyboardInterrupt
