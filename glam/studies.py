"""`glam ablate`, `glam demo` and `glam report`: studies and reports, with what people want to read at the end."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glam.study_tables import bill_table, fine_tuning_table, plan_table, saving_table, verdict_table
from glam.tables import stage_table
from pipelines.progress import TerminalDisplay
from pipelines.store.files import join


def plan(path: str, store: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Validate a study, print what it would do and cost, and return that."""
    from trainer.ablation.planning import plan as plan_study
    from trainer.ablation.study import load_study

    answer = plan_study(load_study(path, overrides))
    plan_table(answer, store)
    return answer


def run(
    path: str, store: str, beam_options: Sequence[str], report: str | None = None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Run a study, print its verdicts, and return what `glam ablate --json` prints.

    Args:
        path: the study file.
        store: the store.
        beam_options: of the corpus build.
        report: where to put a copy of the report, if anywhere.
        overrides: `key=value` of the study file.
    """
    from trainer.ablation.run import REPORT_FILE, run_study
    from trainer.ablation.study import load_study
    from trainer.ablation.summary import verdicts

    display = TerminalDisplay()
    study, made = run_study(load_study(path, overrides), store, beam_options, display)
    folder = join(store, "studies", study["id"])
    source = join(folder, REPORT_FILE)
    if report is not None:
        shutil.copyfile(source, report)
    if all(stage.reused for stage in made.stages):
        display.say("  the corpus was found in the store: no stage was computed again")
    stage_table(made.stages)
    bill_table(study)
    verdict_table(study)
    saving_table(study)
    fine_tuning_table(study)
    shown = Path(report or source).resolve()
    display.say(f"report: {shown}")
    return verdicts(study) | {"path": folder, "report": str(shown)}


def write_report(reference: str, store: str, out: str) -> None:
    """Write the report of a version (id, prefix or name), a run (its folder) or a study (its file or id)."""
    from trainer.ablation.report.data import any_report
    from trainer.ablation.report.page import write_page

    write_page(any_report(reference, store), out)
