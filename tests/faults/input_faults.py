"""Damaged input files: each is a source of its own, extracted damaged, mended, and built with all the others.

Where more than 1 % of a source's records are quarantined the command must refuse, with the first one named; with a
larger error budget it goes on with what is left. Then the sound files are put back, and one build of all of them in
the same store must give the bytes of a build of sound files in a new one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipelines.sources.record import Used
from pipelines.sources.registry import READERS
from tests.faults.damaged_files import InputFault, input_faults
from tests.faults.processes import Run, glam
from tests.faults.workplace import Row, Scenario, Unexpected, Workplace, build, bytes_of, require, require_told

PEAK_MIB = 100
"""What a command may hold more than without the record of 200 MB: half of it."""
CONFIG = """
name = "damaged"
seed = 5
data = "{data}"
{sources}
[extract]
shards = 1
[select]
min_characters = 100
[tokenizer]
vocabulary_size = 400
sample_bytes = 60000
threads = 1
[pack]
sequence_length = 64
shards = 1
[mixture]
web.weight = 1.0
[versions]
all = {{}}
"""
SOURCE = '[sources.{source}]\ncomponent = "web"\nreader = "{reader}"\nfiles = ["{{data}}/{source}/*"]\n'


def rows(place: Workplace) -> dict[str, Row | Unexpected]:
    """Make every fault, mend the files and build; return a row for each."""
    folder, faults = place.room("input"), input_faults()
    config = folder / "all.toml"
    sources = [SOURCE.format(source=fault.source, reader=fault.reader) for fault in faults]
    config.write_text(CONFIG.format(data=folder, sources="".join(sources)))
    for fault in faults:
        (folder / fault.source).mkdir()
        (folder / fault.source / "damaged.file").write_bytes(fault.sound)
    undisturbed = bytes_of(build(config, folder / "undisturbed"))
    usual = 0.0
    made: dict[str, Row | Unexpected] = {}
    for fault in faults:
        try:
            made[fault.name], peak = _row(folder, fault, usual)
            usual = usual or peak
        except Unexpected as error:
            made[fault.name] = error
        (folder / fault.source / "damaged.file").write_bytes(fault.sound)
    same = bytes_of(build(config, folder / "store")) == undisturbed
    return {name: row if isinstance(row, Unexpected) else replace(row, same_bytes=same) for name, row in made.items()}


def _row(folder: Path, fault: InputFault, usual: float) -> tuple[Row, float]:
    """Extract a damaged file and check what became of it; return also the peak of memory."""
    path, config, store = folder / fault.source / "damaged.file", folder / f"{fault.source}.toml", folder / "store"
    config.write_text(CONFIG.format(data=folder, sources=SOURCE.format(source=fault.source, reader=fault.reader)))
    sound = _documents(fault.reader, path)
    fault.damage(path)
    command = ("sources", config, "--store", store, "--json")
    first = run = glam(*command)
    if fault.quarantined:
        ((reason, number),) = fault.quarantined.items()
        refusal = rf"source {fault.source}: {number} of \d+ records? cannot be read, more than "
        refusal += rf".*{path}, offset \d+, {reason}: "
        require_told(first, 1, refusal, r"quarantine\.jsonl; mend the files or raise the budget")
        all_kept = ("--set", "extract.error_budget=1")
        run = glam(*command, *all_kept)
        if fault.cut:
            cut = rf"source {fault.source}: files cut or damaged to their end: 1, .*{path}, offset \d+, {reason}: "
            require_told(
                run, 1, cut, r"quarantine\.jsonl; fetch the files again, or .*extract\.accept_cut_files = true"
            )
            first = run
            run = glam(*command, *all_kept, "--set", "extract.accept_cut_files=true")
        require_told(
            run, 0, rf"source {fault.source}: {number} of \d+ records are in quarantine \({reason} {number}\): "
        )
    require_told(run, 0, fault.told)
    lost = len(sound - _documents(fault.reader, path))
    happened = f"{_counted(run, fault)}; {len(sound) - lost} of {len(sound)} documents kept"
    require(lost == fault.lost, f"{fault.name}: {lost} documents lost, not {fault.lost}")
    require(run.peak_mib is not None, "the peak of memory is not known")
    assert run.peak_mib is not None
    if fault.bounded:
        require(run.peak_mib < usual + PEAK_MIB, f"{fault.name}: peak {run.peak_mib} MiB, without it {usual}")
        happened += f"; {max(0, run.peak_mib - usual):.0f} MiB more memory than without"
    told = next((line for line in first.stderr.splitlines() if fault.told and re.search(fault.told, line)), "")
    return Row(fault.name, fault.injected, happened, first.exit_code, first.message or told, False), run.peak_mib


def _documents(reader: str, path: Path) -> set[tuple[str, str]]:
    """Return key and text of every document that the reader finds in a file."""
    records = READERS[reader]({}).read(str(path))
    used = ((record.native_key, record.outcome) for record in records if isinstance(record.outcome, Used))
    return {(key, text.text) for key, outcome in used for text in outcome.texts}


def _counted(run: Run, fault: InputFault) -> str:
    """Check the ledger of the file, and tell it."""
    assert run.answer is not None
    (source,) = run.answer["sources"]
    (file,) = source["files"]
    records, reasons = file["records"], file["quarantine"]
    wanted = {
        "used": fault.counts["used"],
        "skipped": fault.counts.get("skipped", {}),
        "quarantined": fault.quarantined,
    }
    found = {"used": records["used"], "skipped": records["skipped"], "quarantined": reasons}
    require(found == wanted, f"{fault.name}: {found}, not {wanted}")
    accounted = records["used"] + sum(records["skipped"].values()) + records["quarantined"]
    require(records["read"] == accounted, f"{fault.name}: {accounted} of {records['read']} records accounted for")
    skipped = "".join(f", {n} skipped as {reason}" for reason, n in records["skipped"].items())
    damaged = "".join(f", {n} quarantined as {reason}" for reason, n in reasons.items())
    return f"{records['read']} read: {records['used']} used{skipped}{damaged}"


def _one(name: str, place: Workplace) -> Row:
    return place.group("input", rows, name)


SCENARIOS: dict[str, Scenario] = {fault.name: partial(_one, fault.name) for fault in input_faults()}
