"""Compile the CUDA kernels with NVIDIA's own compiler, for GPUs that need not be there, and count registers.

    python tests/check_nvrtc.py                 # exit status 1 if registers spill, or if the table is old
    python tests/check_nvrtc.py --markdown      # write the table into docs/gpu.md
    python tests/check_nvrtc.py 80 90 --all     # only these architectures, but every kind of operands

It needs CuPy, and the compiler and CUDA's headers as pip installs them (nvidia-cuda-nvrtc-cu12 and
nvidia-cuda-runtime-cu12; without -cu12 for CUDA 13, which has no sm_70): no GPU, no driver and no CUDA
toolkit. What is compiled is what CuPy would compile, with the options that CuPy gives; the compiler itself
reports registers and spills.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from itertools import product, repeat
from pathlib import Path
from typing import NamedTuple

from cupy._core import core
from cupy_backends.cuda.libs import nvrtc

from lucid.protocol import LossSpec
from lucid_cupy.kernels import OPTIONS, packed, source
from lucid_cupy.layouts import LAYOUT

ARCHITECTURES = (70, 75, 80, 90, 100, 120)
DTYPES = ("float16", "bfloat16", "float32", "float64")
PLAIN = ("true", "{0}, Absent, Absent", "Absent")  # contiguous; target, weight, pos_weight; grad_output
FULL = ("true", "int64, {0}, float64", "{0}")  # {0} is the input's dtype
STRIDED = ("false", *FULL[1:])
EXTREMES = (("Probabilities", PLAIN), ("Logits", STRIDED))
ALL = tuple(product(("Probabilities", "Logits"), (PLAIN, FULL, STRIDED)))
SIZES = {  # of the structs that Python packs
    "Layout": LAYOUT.itemsize,
    "Spec<float>": packed(LossSpec(), "float16").dtype.itemsize,
    "Spec<double>": packed(LossSpec(), "float32").dtype.itemsize,
    "Sums": 4 * 8,
    "Reduced": 2 * 8,
}
PAGE = Path(__file__).parent.parent / "docs" / "gpu.md"
BEGIN, END = "<!-- registers: python tests/check_nvrtc.py --markdown -->", "<!-- /registers -->"


class Variant(NamedTuple):
    """A kernel, as a row of the table names it, and as the compiler does."""

    row: tuple[str, str]
    expression: str


class Usage(NamedTuple):
    """What a compiled kernel takes of a multiprocessor."""

    registers: int
    stack: int
    spilled: int


def variants(kinds: tuple[tuple[str, tuple[str, str, str]], ...]) -> Iterator[Variant]:
    """Yield every kernel for every dtype, and for each of these formulas and operands."""
    for dtype, (formulas, (contiguous, others, upstream)) in product(DTYPES, kinds):
        common = f"{formulas}, {contiguous}, {dtype}, {others.format(dtype)}"
        yield Variant(("loss", dtype), f"unreduced<{common}, false>")
        yield Variant(("loss and gradient", dtype), f"unreduced<{common}, true>")
        yield Variant(("sum", dtype), f"partial_sums<{common}, false>")
        yield Variant(("sum and gradient", dtype), f"partial_sums<{common}, true>")
        yield Variant(("gradients", dtype), f"gradients<{common}, {upstream.format(dtype)}>")
    for dtype in DTYPES:
        yield Variant(("total", dtype), f"total<{dtype}>")


def compiled(architecture: int, every: list[Variant]) -> dict[Variant, Usage]:
    """Compile kernels for one architecture, as CuPy does."""
    options = core.assemble_cupy_compiler_options(OPTIONS)
    options += ("--device-as-default-execution-space", f"-arch=sm_{architecture}", "-ftz=true")
    checks = "".join(f'static_assert(sizeof({name}) == {size}, "");\n' for name, size in SIZES.items())
    program = nvrtc.createProgram(source() + checks, "bce.cu", (), ())
    for variant in every:
        nvrtc.addNameExpression(program, variant.expression)
    try:
        nvrtc.compileProgram(program, (*options, "--ptxas-options=-v"))
    except nvrtc.NVRTCError as error:
        raise SystemExit(f"sm_{architecture}: {nvrtc.getProgramLog(program)}") from error
    usages = dict(reported(nvrtc.getProgramLog(program)))
    return {variant: usages[nvrtc.getLoweredName(program, variant.expression)] for variant in every}


def reported(log: str) -> Iterator[tuple[str, Usage]]:
    """Read what the assembler says of each kernel."""
    pattern = (
        r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
        r"(\d+) bytes spill loads.*?Used (\d+) registers"
    )
    for name, stack, stores, loads, registers in re.findall(pattern, log, re.DOTALL):
        yield name, Usage(int(registers), int(stack), int(stores) + int(loads))


def table(found: dict[int, dict[Variant, Usage]]) -> str:
    """Lay out the registers of each kernel, from the fewest to the most, as Markdown."""
    major, _ = nvrtc.getVersion()
    version = metadata.version("nvidia-cuda-nvrtc" + ("-cu12" if major == 12 else ""))
    heads = " | ".join(f"sm_{architecture}" for architecture in found)
    lines = [
        f"Registers per thread, by NVRTC {version}:",
        "",
        f"| kernel | dtype | {heads} |",
        "|" + "---|" * (len(found) + 2),
    ]
    for row in dict.fromkeys(variant.row for usages in found.values() for variant in usages):
        cells = []
        for usages in found.values():
            counts = [usage.registers for variant, usage in usages.items() if variant.row == row]
            cells.append(f"{min(counts)} - {max(counts)}" if min(counts) < max(counts) else str(max(counts)))
        lines.append(f"| {' | '.join((*row, *cells))} |")
    return "\n".join(lines)


def outdated(text: str) -> bool:
    """Say whether the page has another table for this very version of the compiler."""
    written = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    return written != text and written.splitlines()[:1] == text.splitlines()[:1]


def main() -> int:
    """Print what was compiled; return 1 if anything spills."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architectures", nargs="*", type=int, default=ARCHITECTURES, metavar="ARCHITECTURE")
    parser.add_argument("--all", action="store_true", help="all operands, not only the simplest and heaviest")
    parser.add_argument("--markdown", action="store_true", help="write the table into docs/gpu.md")
    options = parser.parse_args()
    every = list(variants(ALL if options.all else EXTREMES))
    with ProcessPoolExecutor() as pool:
        usages = pool.map(compiled, options.architectures, repeat(every))
        found = dict(zip(options.architectures, usages, strict=True))
    text = table(found)
    print(text, end="\n\n")
    spills = [
        f"sm_{architecture}: {variant.expression} spills {usage.spilled} bytes, with a stack of {usage.stack}"
        for architecture, usages in found.items()
        for variant, usage in usages.items()
        if usage.spilled or usage.stack
    ]
    count = sum(map(len, found.values()))
    print(*spills, f"{count} kernels compiled, {len(spills)} of them spill registers", sep="\n")
    if options.markdown:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    elif not options.all and tuple(options.architectures) == ARCHITECTURES and outdated(text):
        print(f"{PAGE.name} has another table; python tests/check_nvrtc.py --markdown writes this one")
        return 1
    return 1 if spills else 0


if __name__ == "__main__":
    sys.exit(main())
