"""The instrument of `lucid bench`: what is measured, of whom, how, and how it is told.

`problems` says what is computed, `peers` and `ours` who computes it, `measure` and `memory` what it costs.
`worker` does so in a process of its own, which `session` arranges. `report`, `markdown` and `plot` show the
record of it.
"""
