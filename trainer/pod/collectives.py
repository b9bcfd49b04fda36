"""What a compiled program sends between chips, read from its text (HLO).

In: the text of a compiled module. Out: by kind, how many collectives a chip takes part in when the program runs once,
and their bytes: of each, the larger of what goes in and what comes out on a chip. A collective in the body of a loop
counts as often as the loop runs: JAX's scans count up from 0 to a constant, which the loop's condition compares with.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "ragged-all-to-all", "collective-permute")

_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f64": 8, "s64": 8, "u64": 8}
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_SHAPE = re.compile(r"\b(pred|[subf]\d+|bf16|f8\w*)\[([\d,]*)\]")
_OPCODE = re.compile(r"(?:^|\s)([a-z][a-z\-]*)\(")
_CALLED = re.compile(r"\b(?:calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
_LOOP = re.compile(r"\bcondition=%?([\w.\-]+), body=%?([\w.\-]+)")
_CONSTANT = re.compile(r"\bconstant\((\d+)\)")
_BOUND = re.compile(r"\bcompare\((?:\S+ )?%?[\w.\-]+, (?:\S+ )?%?([\w.\-]+)\), direction=LT")


class Collectives(NamedTuple):
    """Collectives of one kind: how often a chip takes part, and their bytes on it."""

    times: int
    bytes: int


class _Computation:
    """A part of a module: what it sends, what it calls, its loops as (condition, body), and, if it is the condition of
    a loop, how often that runs."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.calls: list[str] = []
        self.loops: list[tuple[str, str]] = []
        self.bound = 1
        self.sizes: dict[str, int] = {}
        self.constants: dict[str, int] = {}


def collectives(text: str) -> dict[str, Collectives]:
    """Return the collectives of a module by kind; a kind that does not occur is left out."""
    computations, entry = _parse(text)
    runs: dict[str, int] = defaultdict(int)
    waiting = [(entry, 1)]
    while waiting:
        name, times = waiting.pop()
        runs[name] += times
        waiting += [(called, times) for called in computations[name].calls]
        waiting += [(body, times * computations[condition].bound) for condition, body in computations[name].loops]
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, times in runs.items():
        for kind, size in computations[name].sent:
            sums[kind][0] += times
            sums[kind][1] += times * size
    return {kind: Collectives(*sums[kind]) for kind in KINDS if kind in sums}


def _parse(text: str) -> tuple[dict[str, _Computation], str]:
    """Return the computations of a module by name, and the name of the one that runs first."""
    computations: dict[str, _Computation] = {}
    entry, current = "", _Computation()
    for line in text.splitlines():
        if head := _COMPUTATION.match(line):
            current = computations.setdefault(head[1], _Computation())
            entry = head[1] if line.startswith("ENTRY") else entry
        elif instruction := _INSTRUCTION.match(line):
            _read(instruction[1], instruction[2], current)
    return computations, entry


def _read(name: str, rest: str, computation: _Computation) -> None:
    """Take one instruction into its computation."""
    opcode = _OPCODE.search(rest)
    if opcode is None:
        return
    computation.sizes[name] = sum(_sizes(rest[: opcode.start(1)]))
    kind = opcode[1].removesuffix("-start")
    if kind in KINDS:
        computation.sent.append((kind, _moved(name, rest[opcode.end() :], opcode[1], computation)))
    elif opcode[1] == "while":
        computation.loops += [(loop[1], loop[2]) for loop in _LOOP.finditer(rest)]
    elif opcode[1] == "constant" and (value := _CONSTANT.search(rest)):
        computation.constants[name] = int(value[1])
    elif opcode[1] == "compare" and (bound := _BOUND.search(rest)):
        computation.bound = computation.constants.get(bound[1], 1)
    elif opcode[1] in ("call", "conditional", "fusion", "async-start"):
        computation.calls += _CALLED.findall(rest)
        computation.calls += [one.strip(" %") for found in _BRANCHES.findall(rest) for one in found.split(",")]


def _moved(name: str, rest: str, opcode: str, computation: _Computation) -> int:
    """Return the bytes of a collective, of which `rest` is what follows its opening bracket."""
    arguments = rest[: rest.index(")")].split(",")
    operands = sum(computation.sizes.get(argument.split()[-1].lstrip("%"), 0) for argument in arguments if argument)
    result = computation.sizes[name]
    if opcode.endswith("-start") and not opcode.startswith("all-reduce"):
        result -= operands  # a start's result holds its operands beside what will come
    return max(operands, result)


def _sizes(shape: str) -> Iterator[int]:
    """Yield the bytes of every array in a shape."""
    for element, sides in _SHAPE.findall(shape):
        bytes_each = _BYTES.get(element, 1 if element.startswith("f8") else 4)
        yield bytes_each * math.prod(int(side) for side in sides.split(",") if side)
