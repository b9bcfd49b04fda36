"""Our scores and those of lm-evaluation-harness for one checkpoint, on tasks that both define alike.

    python benchmarks/harness_agreement.py --run RUN --store STORE --data SETS [--limit 200] [--json]

The harness reads the same native files through its own task definitions (below), with its own metric `acc`: options by
undivided log-likelihood. So ours are run undivided too. Scores are equal but for ties, of which the harness takes the
first and we share the credit: the tolerance is one example a tie, and without ties none; of bits per byte it is 1 in
10,000. Word perplexity is not compared: to the harness the empty strings at the ends of a text are words too.
Needs the extra `eval`; no network.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TQDM_DISABLE": "1"}
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("HF_HOME", tempfile.mkdtemp(prefix="harness-"))

from pipelines.progress import SilentDisplay
from trainer.evaluation.evaluate import Asking, evaluate_tasks, open_set
from trainer.evaluation.task import Catalogue

CATALOGUE = Path(__file__).resolve().parents[1] / "configs" / "evaluation"
TOLERANCE = 1e-4
CHOICE = {"output_type": "multiple_choice", "metric_list": [{"metric": "acc"}], "target_delimiter": " "}
DEFINITIONS: dict[str, dict[str, Any]] = {
    "boolq": CHOICE
    | {
        "doc_to_text": "{{passage}}\n\nQuestion: {{question}}?\nAnswer:",
        "doc_to_choice": ["no", "yes"],
        "doc_to_target": "{{label|int}}",
    },
    "piqa": CHOICE
    | {
        "doc_to_text": "Question: {{goal}}\nAnswer:",
        "doc_to_choice": "{{[sol1, sol2]}}",
        "doc_to_target": "label",
    },
    "arc_easy": CHOICE
    | {
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "{{choices.text}}",
        "doc_to_target": "{{choices.label.index(answerKey)}}",
    },
    "arc_challenge": CHOICE
    | {
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "{{choices.text}}",
        "doc_to_target": "{{choices.label.index(answerKey)}}",
    },
    "openbookqa": CHOICE
    | {
        "doc_to_text": "{{question_stem}}",
        "doc_to_choice": "{{choices.text}}",
        "doc_to_target": "{{choices.label.index(answerKey)}}",
    },
    "sciq": CHOICE
    | {
        "doc_to_text": "{% if support %}{{support|trim}}\n{% endif %}Question: {{question}}\nAnswer:",
        "doc_to_choice": "{{[correct_answer, distractor1, distractor2, distractor3]}}",
        "doc_to_target": "0",
    },
    "wic": CHOICE
    | {
        "doc_to_text": "{{sentence1}}\n{{sentence2}}\nQuestion: Is the word '{{word}}' used in the same sense in "
        "the two sentences above?\nAnswer:",
        "doc_to_choice": ["no", "yes"],
        "doc_to_target": "{{label|int}}",
    },
    "rte": CHOICE
    | {
        "doc_to_text": "{{premise}}\nQuestion: {{hypothesis}} True or False?\nAnswer:",
        "doc_to_choice": ["True", "False"],
        "doc_to_target": "{{['entailment', 'not_entailment'].index(label)}}",
    },
    "wikitext2": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
    "blimp": CHOICE
    | {
        "doc_to_text": "",
        "target_delimiter": "",
        "doc_to_choice": "{{[sentence_good, sentence_bad]}}",
        "doc_to_target": "0",
    },
}
"""The harness's definition of each task, on our native files."""


def compare(
    run: str, store: str, data: str, limit: int | None, names: Iterable[str] = tuple(DEFINITIONS)
) -> Iterator[dict[str, Any]]:
    """Yield a row for every task and metric: ours, the harness's and whether they are equal within the tolerance."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    from trainer.evaluation.harness import HarnessModel

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    theirs, own_tasks_only = HarnessModel(run, store), TaskManager(include_defaults=False)
    catalogue = Catalogue(str(CATALOGUE))
    for name in names:
        definition = DEFINITIONS[name]
        one = open_set(name, catalogue, data, limit)
        if one.task.ranking is not None:
            undivided = one.task.ranking.model_copy(update={"normalization": "none"})
            one = one.with_task(one.task.model_copy(update={"ranking": undivided}))
        ours = evaluate_tasks(theirs.model, [one], Asking(), SilentDisplay())[name]["0"]
        files = {"test": [str(Path(file).resolve()) for file in one.files]}
        task = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": files}, "test_split": "test"}
        chosen = {name: [example.number for example in one.examples]}
        found = simple_evaluate(
            model=theirs, tasks=[task | definition], samples=chosen, bootstrap_iters=0, task_manager=own_tasks_only
        )
        assert found is not None
        for metric in definition["metric_list"]:
            value = found["results"][name][f"{metric['metric']},none"]
            own = ours.metrics["accuracy" if metric["metric"] == "acc" else metric["metric"]]
            scaled = 100 * value if metric["metric"] == "acc" else value
            tolerance = 100 * ours.ties / own.n + 1e-9 if metric["metric"] == "acc" else own.score * TOLERANCE
            row = {"task": name, "metric": metric["metric"], "n": own.n, "ours": own.score, "harness": scaled}
            row["ties"] = int(ours.ties)
            yield row | {"equal": abs(own.score - scaled) <= tolerance}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("run", "store", "data"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = compare(given.run, given.store, given.data, given.limit)
    if given.json:
        print(json.dumps(list(rows)))
        return
    print(f"{'task':<14} {'metric':<16} {'n':>6} {'ours':>10} {'lm-eval':>10} {'ties':>5}  equal")
    for row in rows:
        figures = f"{row['n']:>6} {row['ours']:>10.3f} {row['harness']:>10.3f} {row['ties']:>5}"
        print(f"{row['task']:<14} {row['metric']:<16} {figures}  {'yes' if row['equal'] else 'NO'}", flush=True)


if __name__ == "__main__":
    main()
