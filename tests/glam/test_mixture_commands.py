"""`glam mixture` on the paper's table: what it prints, refuses and gives to paste."""

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glam.main import app
from pipelines.config import load_corpus_config
from pipelines.store.errors import GlamError

CONFIG = str(Path(__file__).resolve().parents[2] / "configs" / "glam_1p6t.toml")
SCORES = {"web": 1.2, "wikipedia": 1.0, "conversations": 1.4, "forums": 1.5, "books": 1.1, "news": 1.45}


def glam(*arguments):
    return CliRunner().invoke(app, ["mixture", *arguments])


def test_the_papers_table_is_printed_without_data():
    done = glam("show", CONFIG, "--budget", "600B")
    assert done.exit_code == 0
    rows = {words[0]: words[1:] for words in map(str.split, done.stdout.splitlines()) if len(words) == 6}
    assert rows["web"] == ["0.42", "143B", "252B", "1.76", "ok"]
    assert rows["wikipedia"] == ["0.06", "3B", "36B", "12.00", "warning"]
    assert {name: row[3] for name, row in rows.items()} == {
        "web": "1.76",
        "wikipedia": "12.00",
        "conversations": "0.97",
        "forums": "0.05",
        "books": "0.31",
        "news": "0.018",
    }
    assert "warning: component wikipedia: 12.00 epochs of its 3B tokens, over warn_epochs = 4" in done.stderr


def test_too_many_epochs_are_refused_with_what_would_do():
    done = glam("show", CONFIG, "--budget", "600B", "--max-epochs", "8", "--json")
    assert isinstance(done.exception, GlamError)
    assert str(done.exception) == (
        "component wikipedia: 12.00 epochs of its 3B tokens, over max_epochs = 8; "
        "lower its weight to 0.04 or the budget to 400B"
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["components"]["wikipedia"]["verdict"] == "refused"
    assert answer["components"]["news"]["epochs"] == 12 / 650
    assert not glam("show", CONFIG, "--budget", "400B", "--max-epochs", "8").exception


def test_a_weight_of_zero_is_no_remedy():
    (*_, last, _) = str(glam("show", CONFIG, "--budget", "1000000T").exception).split("; ")
    assert last == "lower the budget to 520T"  # 16 epochs of 650B of news at a weight of 0.02


def test_several_components_are_told_the_budget_that_fits_all():
    (*clauses, last) = str(glam("show", CONFIG, "--budget", "20T", "--json").exception).split("; ")
    refused = [clause.split(":")[0] for clause in clauses if clause.startswith("component ")]
    assert refused == ["component web", "component conversations", "component wikipedia"]
    assert last == "with these weights the largest budget that fits all 3 is 800B"  # 16 epochs of 3B at 0.06
    assert not glam("show", CONFIG, "--budget", "800B").exception
    assert glam("show", CONFIG, "--budget", "800001M").exception


def test_tokens_that_nobody_knows_are_asked_for():
    done = glam("show", str(Path(CONFIG).with_name("demo.toml")), "--budget", "1M")
    assert done.exit_code == 0
    assert "component web: tokens unknown; write mixture.web.expected_tokens" in done.stderr


def test_weights_are_printed_as_configuration_that_loads(tmp_path):
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps(SCORES))
    done = glam("weights", CONFIG, "--budget", "600B", "--scores", str(scores))
    assert done.exit_code == 0
    mixture = tomllib.loads(done.stdout)["mixture"]
    assert mixture["wikipedia"] == {"weight": 0.08, "expected_tokens": 3 * 10**9}  # 16 epochs: at the cap
    assert "at the cap" in done.stderr
    overrides = [f"mixture.{name}.weight={part['weight']}" for name, part in mixture.items()]
    assert load_corpus_config(CONFIG, overrides).mixture["wikipedia"].weight == 0.08


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", CONFIG, "--budget", "600Bn"], "--budget 600Bn: write a number of tokens"),
        (["show", CONFIG, "--budget", "0"], "--budget 0: a training has at least one token"),
        (["show", CONFIG, "--budget", "1B", "--max-epochs", "0"], "--max-epochs: .* greater than 0"),
        (["show", "nowhere", "--budget", "1B", "--set", "seed=1"], "nowhere: --version and --set go with a config"),
        (["show", "nowhere", "--budget", "1B"], "'nowhere' is neither the id"),
        (["weights", CONFIG, "--budget", "1B"], "give --scores FILE or --run RUN"),
        (["weights", CONFIG, "--budget", "1B", "--run", "nowhere"], "nowhere/run.json: there is no such file"),
    ],
)
def test_what_cannot_be_done_is_told(arguments, message):
    with pytest.raises(GlamError, match=message):
        raise glam(*arguments, "--store", "nowhere").exception


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({k: v for k, v in SCORES.items() if k != "web"}, "no score for web; train a small model"),
        ({**SCORES, "code": 1.0}, "code is no component of the mixture"),
    ],
)
def test_scores_must_be_of_the_components(tmp_path, scores, message):
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    with pytest.raises(GlamError, match=message):
        raise glam("weights", CONFIG, "--budget", "1B", "--scores", str(tmp_path / "scores.json")).exception
