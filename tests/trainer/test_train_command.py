"""`glam train`: what is printed before the first update, the preflight, the profile, and what `--json` answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from glam.training import Wanted, run_training
from pipelines.progress import SilentDisplay
from pipelines.store.errors import GlamError
from trainer.processes import joined

CONFIGURATION = """
version = "filtered"
[model]
size = "tiny/4E"
group_size = 32
[training]
steps = 6
batch_tokens = 128
log_every = 1
[preflight]
steps = 6
loss_fall = 0.01
input_share = 1.0
"""


@pytest.fixture
def configuration(tmp_path) -> str:
    path = tmp_path / "train.toml"
    path.write_text(CONFIGURATION)
    return str(path)


@pytest.fixture
def store(version) -> str:
    return str(Path(version.url).parents[1])


def test_a_dry_run_of_a_mesh_tells_the_memory_of_all_its_devices(configuration, store, capsys):
    answer = run_training(configuration, ["model.dispatcher=einsum", "mesh.model=2"], store, Wanted(run=None))
    assert answer["plan"]["training"]["devices"] == 2
    said = capsys.readouterr().err
    assert "Memory of all 2 devices" in said
    assert "of each device: glam compile" in said


def test_a_dry_run_says_what_the_configuration_means_and_writes_nothing(configuration, store, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    answer = run_training(configuration, ["model.dispatcher=einsum"], store, Wanted(run=None))
    assert sorted(tmp_path.rglob("*")) == before
    assert list(answer) == ["plan"]
    said = capsys.readouterr().err
    for part in (
        "this model",
        "dense twin, equal FLOPs a token",
        "dense twin, as the paper's family",
        "6 updates of 128 tokens (4 rows): 768 tokens",
        "activations float32",
        "20 slots an expert for a group of 32 tokens, 1.25 rows computed a choice",
        "of first and of second choices",
        "closed form for an even router",
        "the einsum dispatcher adds",
        "Adafactor's second moments",
        "Memory of one device",
        "estimate, remat none",
        "Components of filtered",
    ):
        assert part in said
    twins = answer["plan"]["twins"]
    for figure in (
        f"{answer['plan']['model']['parameters']:,}",
        *(f"{twin['parameters']:,}" for twin in twins.values()),
    ):
        assert figure in said


def test_it_runs_the_preflight_traces_updates_and_tells_speed_and_waiting(configuration, store, tmp_path, capsys):
    run = tmp_path / "run"
    answer = run_training(configuration, [], store, Wanted(str(run), preflight=True, profile="2:3", peak=1e12))
    assert (answer["steps"], answer["finished"], answer["preflight"]["size"]) == (6, True, "tiny/4E")
    assert answer["peak"] == {"flops": 1e12, "source": "given"}
    flops = answer["plan"]["model"]["training_flops"]
    assert answer["mfu"] == pytest.approx(answer["tokens_per_second"] * flops / 1e12)
    assert 0 <= answer["input_share"] <= 1
    assert (run / "preflight.json").is_file()
    assert list((run / "profile").rglob("*.xplane.pb"))
    said = capsys.readouterr().err
    assert "preflight passed: tiny/4E, 6 updates, loss " in said
    assert "tokens/s, MFU " in said
    assert "waiting for input" in said
    again = run_training(configuration, [], store, Wanted(str(run)))
    assert (again["loss"], again["tokens_per_second"]) == (answer["loss"], None)  # found, nothing was trained
    with pytest.raises(GlamError, match="--profile 3-4: give an update"):
        run_training(configuration, [], store, Wanted(str(run), profile="3-4"))
    with pytest.raises(GlamError, match=r"--profile 2:5000: the run has \d+ updates"):
        run_training(configuration, [], store, Wanted(str(run), profile="2:5000"))


def test_a_dry_run_refuses_what_a_training_would(configuration, store):
    with pytest.raises(GlamError, match=r"mesh.data: 3 does not divide"):
        run_training(configuration, ["mesh.data=3", "model.dispatcher=einsum"], store, Wanted(None))


def test_a_process_of_several_needs_the_address_of_the_first():
    with pytest.raises(GlamError, match="need --coordinator HOST:PORT"), joined(None, 2, 0):
        pass


def test_the_console_shows_loss_rate_mfu_waiting_and_time_left():
    from glam.training_console import TrainingConsole
    from trainer.peak import Peak

    class Listener(SilentDisplay):
        def __init__(self):
            self.said = []

        def start(self, label, total, unit, done=0):  # noqa: ARG002
            self.said.append(f"start at {done}")

        def move(self, done, detail=""):
            self.said.append(f"{done}: {detail}")

    listener = Listener()
    console = TrainingConsole(listener, "train", 100, 10, Peak(1e6, "given"))
    console(40, 60, {"loss": 5.25, "seconds": 10.0, "input_seconds": 1.0})  # a run that was resumed
    console(50, 60, {"loss": None, "seconds": 20.0, "input_seconds": 3.5})
    assert listener.said[0] == "start at 4000"
    assert listener.said[1] == "4000: step 40 of 60, loss 5.250, waiting for input 0.0 %"
    assert listener.said[2].startswith("5000: step 50 of 60, loss not finite, MFU ")
    assert listener.said[2].endswith("waiting for input 25.0 %")
    assert console.mfu == pytest.approx(console.tokens_per_second * 10 / 1e6)
