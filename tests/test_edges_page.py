"""The page of the edges names tests, and nothing but tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "edges.md").read_text()
KIT = ROOT / "core" / "lucid" / "testing"


def defined_in(*paths):
    """Name the tests that are defined in some files."""
    return {name for path in paths for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}


def named_in(text):
    """Name the tests that a text names in words."""
    return {"test_" + words.replace(" ", "_") for words in re.findall(r"\*([\w ]+)\*", text)}


def test_every_test_that_the_page_names_is_there_and_runs_where_it_says() -> None:
    in_kit, in_tests = defined_in(*KIT.glob("*.py")), defined_in(*(ROOT / "tests").glob("test_*.py"))
    assert named_in(PAGE) <= in_kit | in_tests
    rows = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and "*" in line]
    assert len(rows) > 30
    for row in rows:
        assert named_in(row[-1])
        if row[-2] == "every backend":
            assert named_in(row[-1]) & in_kit, row


def test_the_page_names_every_test_of_the_kit_that_is_about_the_edges() -> None:
    assert defined_in(KIT / "edges.py", KIT / "operands.py") <= named_in(PAGE)
