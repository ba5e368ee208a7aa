"""The instrument of `lucid bench`: what is measured, against whom, how, and how it is told.

`problems` says what is computed, `peers` who computes it, `measure` takes the time and `worker` does so in a
process of its own, which `session` starts; `report`, `markdown` and `plot` show what came of it.
"""
