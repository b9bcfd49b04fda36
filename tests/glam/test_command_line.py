"""The `glam` command: what scripts and people may rely on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.store.files import write_bytes

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "demo",
    "build",
    "train",
    "evaluate",
    "finetune",
    "generate",
    "ablate",
    "report",
    "duplicates",
    "diff",
    "explain",
    "export",
    "gc",
    "sample",
    "show",
    "trace",
    "sources",
    "models",
    "plan",
    "verify",
    "list",
)


def glam(*arguments, **options):
    command = [sys.executable, "-m", "glam", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command):
    done = glam(command, "--help")
    assert done.returncode == 0
    assert f"Example: glam {command}" in " ".join(done.stdout.split())


def test_help_imports_no_heavy_library(tmp_path):
    (tmp_path / "versions").mkdir()
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from glam.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['list', '--store', sys.argv[1]]).exit_code == 0\n"
        "heavy = {'tensorflow', 'apache_beam', 'jax', 'flax', 'pyarrow', 'sentencepiece', 'fasttext', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout.replace("'", '"'))) <= {"numpy"}  # `list` reads manifests beside the shards' code


def test_jobs_import_neither_tensorflow_nor_jax():
    code = "import sys, pipelines.build; print('tensorflow' in sys.modules or 'jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_error_of_the_users_is_told_without_a_stack_trace(tmp_path):
    done = glam("build", "configs/demo.toml", "--store", tmp_path, "--set", "sample.alpha=none")
    assert done.returncode == 1
    assert done.stderr.startswith("error: configs/demo.toml: sample.alpha: ")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify", "nothing"), "is neither the id, a prefix of it, nor the name of a version"),
        (("train", "configs/training/demo.toml", "--run", "unused"), "nor the name of a version"),
        (("evaluate", "no-such-run"), "no-such-run"),
        (("generate", "no-such-run", "--prompt", "a"), "no-such-run"),
        (("finetune", "no-such-run", "--data", "a.jsonl", "--out", "unused"), "no-such-run"),
        (("report", "nothing"), "nothing"),
        (("ablate", "no-such-study.toml"), "no-such-study.toml: cannot be read"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_not_there_is_named_with_exit_code_1(tmp_path, arguments, message):
    done = glam(*arguments, "--store", tmp_path / "store")
    assert done.returncode == 1, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_option_is_refused_with_exit_code_2():
    assert glam("build").returncode == 2
    assert glam("verify", "x", "--no-such-option").returncode == 2


def test_a_dry_run_tells_arms_runs_and_cost_and_does_nothing(tmp_path):
    store = tmp_path / "store"
    done = glam(
        "ablate", "configs/studies/demo.toml", "--store", store, "--dry-run", "--json", "--set", "seeds=[0,1,2,3]"
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout.splitlines()[-1])
    assert [arm["name"] for arm in plan["arms"]] == ["filtered", "random", "unfiltered"]
    assert plan["runs"] == 12
    assert plan["flops"] > 0
    assert not store.exists()


def test_a_runner_that_loses_data_is_refused_with_the_reason(tmp_path):
    done = glam("build", "configs/demo.toml", "--store", tmp_path, "--", "--runner=DaskRunner")
    assert done.returncode == 1
    assert "--runner=DaskRunner is refused: it lost documents" in done.stderr


@pytest.mark.parametrize(
    ("option", "message"),
    [("--direct_num_wrokers=2", "not an option of Beam"), ("--runner=Nope", "--runner=Nope: ")],
)
def test_an_option_that_beam_does_not_know_is_refused(tmp_path, option, message):
    done = glam("build", "configs/demo.toml", "--store", tmp_path, "--", option)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_that_cannot_be_written_is_told_with_the_remedy(built, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    done = glam("build", built[2], "--store", tmp_path / "file")
    assert done.returncode == 1
    assert "cannot be written (Not a directory); make room, mend permissions or choose another folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tokenizer.vocabulary_size=60000", r"error: tokenizer: vocabulary_size = 60000 is more than"),
        ("select.min_characters=100000000", r"error: tokenizer: no text to train a tokenizer on"),
        ("quality.positives=[{sources=['plays'],hosts=['x.org']}]", r"error: quality.positives: no training document"),
    ],
)
def test_what_the_text_does_not_allow_is_told_with_the_remedy(built, setting, message):
    done = glam("build", built[2], "--store", built[1], "--set", setting)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The JSON that `glam build` prints, its store and configuration: a build without a network."""
    sys.path.insert(0, str(ROOT / "tests" / "pipelines"))
    from small_corpus import write_corpus

    from pipelines.sources.errors import SourceError

    folder = tmp_path_factory.mktemp("command-line")
    try:
        config = write_corpus(folder / "data")
    except SourceError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "glam", "build", str(config), "--store", str(folder / "store"), "--json"]
    isolated = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if (
        shutil.which("unshare")
        and subprocess.run([*isolated, "true"], check=False, capture_output=True).returncode == 0
    ):
        command = [*isolated, *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), folder / "store", config, command[0] == "unshare"


def test_a_build_opens_no_connection_beyond_this_machine(built):
    if not built[3]:
        pytest.skip("no network namespace can be made here (unshare), so nothing would be shown")
    assert built[0]["versions"]


def test_build_prints_versions_records_documents_and_tokens(built):
    answer, store, _, _ = built
    assert set(answer) >= {"versions", "paths", "records", "documents", "tokens"}
    for name, path in answer["paths"].items():
        assert Path(path, "manifest.json").is_file()
        assert answer["versions"][name] == Path(path).name
    assert answer["tokens"].keys() == {"web", "books", "news"}
    listed = json.loads(glam("list", "--store", store, "--json").stdout)
    assert {v["name"]: v["id"] for v in listed["versions"]} == answer["versions"]


def test_a_second_build_computes_nothing(built):
    _, store, config, _ = built
    done = glam("build", config, "--store", store, "--json")
    assert json.loads(done.stdout.splitlines()[-1])["stages"]["computed"] == 0


def test_verify_fails_and_names_the_file_when_one_byte_of_one_shard_is_flipped(built):
    answer, store, _, _ = built
    sound = glam("verify", answer["versions"]["random"][:10], "--store", store, "--json")
    assert (sound.returncode, json.loads(sound.stdout.splitlines()[-1])["ok"]) == (0, True)
    shard = next(Path(answer["paths"]["random"]).glob("train/web/*.tfrecord"))
    data = shard.read_bytes()
    write_bytes(str(shard), data[:100] + bytes([data[100] ^ 1]) + data[101:])
    done = glam("verify", "random", "--store", store, "--json")
    report = json.loads(done.stdout.splitlines()[-1])
    write_bytes(str(shard), data)
    assert done.returncode == 1
    assert not report["ok"]
    assert [bad["path"] for bad in report["bad"]] == [str(shard.relative_to(answer["paths"]["random"]))]


def test_tensorflow_reads_every_shard_of_a_version(built):
    import tensorflow as tf

    answer, _, _, _ = built
    for path in Path(answer["paths"]["filtered"]).rglob("*.tfrecord"):
        manifest = json.loads(Path(answer["paths"]["filtered"], "manifest.json").read_text())
        rows = {f["path"]: f.get("rows") for f in manifest["files"]}
        relative = str(path.relative_to(answer["paths"]["filtered"]))
        assert sum(1 for _ in tf.data.TFRecordDataset(str(path))) == rows[relative]


def test_train_then_evaluate_then_report(built, tmp_path):
    _, store, _, _ = built
    config = tmp_path / "train.toml"
    config.write_text(
        'version = "filtered"\n[model]\nlayers = 2\nmodel_dim = 16\nhidden_dim = 32\nheads = 2\nhead_dim = 8\n'
        "group_size = 64\n[training]\nsteps = 6\nbatch_rows = 2\ncheckpoint_every = 3\n"
    )
    run = tmp_path / "run"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    trained = glam("train", config, "--store", store, "--run", run, "--json", env=environment)
    assert trained.returncode == 0, trained.stderr
    answer = json.loads(trained.stdout.splitlines()[-1])
    assert (answer["steps"], answer["finished"]) == (6, True)
    scored = glam("evaluate", run, "--store", store, "--json", env=environment)
    assert scored.returncode == 0, scored.stderr
    tasks = json.loads(scored.stdout.splitlines()[-1])["tasks"]
    assert set(tasks) == {"heldout/pages", "heldout/plays", "heldout/lee", "heldout/lee-test"}
    for task in tasks.values():
        assert task["low"] < task["score"] < task["high"]
    made = [
        {"goal": f"Open jar {n}.", "sol1": "Turn the lid.", "sol2": "Turn the jar.", "label": n % 2} for n in range(9)
    ]
    (tmp_path / "piqa.dev.jsonl").write_text("".join(json.dumps(record) + "\n" for record in made))
    (tmp_path / "piqa.dev.jsonl").rename(tmp_path / "piqa.dev.jsonl.gz")  # its content decides what a file is
    options = ("--store", store, "--data", tmp_path, "--shots", "0,1", "--json")
    scored = glam(
        "evaluate", run, "--tasks", "heldout/lee,domains,piqa,copa", "--stride", 48, *options, env=environment
    )
    assert scored.returncode == 0, scored.stderr
    answer = json.loads(scored.stdout.splitlines()[-1])
    assert set(answer["tasks"]) == {"heldout/lee", "piqa", "copa"}
    domains, kept = answer["domains"], json.loads((run / "evaluation" / "domains.json").read_text())
    assert domains == kept
    assert (set(domains["component"]), set(domains["out_of_domain"])) == ({"web", "books", "news"}, {"lee-test"})
    assert (set(domains["language"]), domains["unscored"]) == ({"en"}, ["books", "news"])
    assert set(domains["component_quality"]["web"]) == {f"{number} of 4" for number in range(1, 5)}
    assert set(domains["component_quality"]["books"]) == {"unscored"}
    assert domains["out_of_domain"]["lee-test"]["documents"] == tasks["heldout/lee-test"]["n"]
    assert "lambada_text: no data" in scored.stderr
    piqa, copa = answer["tasks"]["piqa"], answer["tasks"]["copa"]
    assert (piqa["n"], piqa["chance"], piqa["low"] <= piqa["score"] <= piqa["high"]) == (9, 50, True)
    assert piqa["by_shots"]["1"]["reason"] == "no demonstrations"
    assert (copa["n"], copa["score"], copa["reason"]) == (0, None, "no data")
    assert answer["means"]["0"]["nlu"]["columns"] == 1
    assert "copa: no data" in scored.stderr
    assert len(list((run / "evaluation" / "piqa").iterdir())) == 1
    for reference, title in ((run, "run"), ("filtered", "filtered")):
        out = tmp_path / f"{title}.html"
        done = glam("report", reference, "--store", store, "--out", out, env=environment)
        assert done.returncode == 0, done.stderr
        assert title in out.read_text()
        assert ("<td>piqa</td><td>accuracy</td>" in out.read_text()) == (title == "run")
        assert ("<td>web, quality 4 of 4</td>" in out.read_text()) == (title == "run")


def test_ctrl_c_stops_at_once_with_130_and_says_how_to_go_on(built, tmp_path):
    _, _, config, _ = built
    command = [sys.executable, "-m", "glam", "build", str(config), "--store", str(tmp_path / "store")]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not list((tmp_path / "store").glob("stages/deduplicate/*/work.jsonl")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "stopped; the same command goes on after the last finished stage" in said
    assert "Traceback" not in said
    manifests = [path.parent.parent.name for path in (tmp_path / "store").glob("stages/*/*/manifest.json")]
    assert "extract" in manifests
