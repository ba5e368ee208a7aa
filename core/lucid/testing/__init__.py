"""The conformance kit: what an author of a backend runs to prove it.

::

    pytest -p lucid.testing.plugin --pyargs lucid.testing.conformance --backend NAME --require NAME

Needs ``python -m pip install "lucid-bce[testing]"``: pytest and mpmath. ``lucid check NAME`` does the same.
"""
