"""A plugin that calls `sys.exit` at import."""

raise SystemExit("this machine is not supported")
