"""What the commands print: help with its line breaks kept, and tables."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

__all__ = ["add_texts", "aligned", "one_line", "print_table"]


def add_texts(parser: argparse.ArgumentParser, description: str, epilog: str) -> None:
    """Say at the top of a parser's help what it is for, and below it the rest, line for line."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = description, epilog


def one_line(text: str) -> str:
    """Join the lines of a message."""
    return " ".join(text.split())


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """Lay out rows in columns of plain text."""
    lines = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(map(str.ljust, line, widths)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: on a terminal by rich, which wraps long cells, where that is installed."""
    if not sys.stdout.isatty() or find_spec("rich") is None:
        print(aligned([headers, *rows]))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(*headers)
    for row in rows:
        grid.add_row(*(Text(one_line(cell)) for cell in row))  # as Text, "lucid-bce[torch]" is no markup
    Console().print(grid)
