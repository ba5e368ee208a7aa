"""The functions that a library has, and those it wants, read from ELF, Linux's format."""

import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple


class Table(IntEnum):
    """The symbol tables, by their section types: of everything, and of what other files see."""

    ALL = 2
    DYNAMIC = 11


class Symbol(NamedTuple):
    """A name in a file; `section` is 0 where another file has to define it."""

    name: str
    section: int
    address: int
    size: int


FUNCTION, UNTYPED = 2, 0
SECTION_FORMAT = "<IIQQQQIIQQ"
SYMBOL_FORMAT = "<IBBHQQ"


def functions(path: Path, table: Table) -> Iterator[Symbol]:
    """List the functions in a symbol table of a 64-bit file."""
    data = path.read_bytes()
    (offset,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from(SECTION_FORMAT, data, offset + n * size) for n in range(count)]
    for _, kind, _, _, start, length, strings, *_ in sections:
        if kind != table:
            continue
        names = sections[strings][4]
        for name, info, _, section, address, extent in struct.iter_unpack(
            SYMBOL_FORMAT, data[start : start + length]
        ):
            if info & 15 in {FUNCTION, UNTYPED}:
                end = data.index(b"\0", names + name)
                yield Symbol(data[names + name : end].decode(), section, address, extent)
