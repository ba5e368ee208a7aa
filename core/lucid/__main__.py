"""`python -m lucid`: the command `lucid`."""

from lucid._cli import main

raise SystemExit(main())
