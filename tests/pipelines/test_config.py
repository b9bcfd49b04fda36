"""A configuration is refused before any work, with file, key, value and remedy."""

from pathlib import Path

import pytest

from pipelines.config import load_corpus_config, parse_amount
from pipelines.sources.locate import fill_data, locate
from pipelines.store.configuration import ConfigError, Settings, load_settings

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CORPORA = sorted(path.name for path in CONFIGS.glob("*.toml"))


@pytest.mark.parametrize("name", CORPORA)
def test_every_corpus_configuration_of_the_repository_loads(name):
    assert load_corpus_config(str(CONFIGS / name)).versions


def test_the_paper_mixture_is_that_of_table_3():
    config = load_corpus_config(str(CONFIGS / "glam_1p6t.toml"))
    table = {name: (part.weight, part.expected_tokens // 10**9) for name, part in config.mixture.items()}
    assert table == {
        "web": (0.42, 143),
        "wikipedia": (0.06, 3),
        "conversations": (0.28, 174),
        "forums": (0.02, 247),
        "books": (0.20, 390),
        "news": (0.02, 650),
    }
    assert sum(tokens for _, tokens in table.values()) == 1607


REFUSED = {
    "unknown key": ("sample.beta=3", r"sample\.beta: there is no such key"),
    "wrong type": ("pack.sequence_length=long", r"pack\.sequence_length: .*integer.*given: 'long'"),
    "out of range": ("holdout.share=1.5", r"holdout\.share: .*less than 1.*given: 1\.5"),
    "weights": ("mixture.web.weight=0.9", r"mixture: the weights sum to 1\.48, they must sum to 1"),
    "reader": ("sources.lee.reader=docx", r"sources\.lee: reader 'docx' is none of .*warc"),
    "reader option": ("sources.lee.options.spilt=line", r"sources\.lee: option 'spilt' is unknown; there are: .*split"),
    "unit": ("mixture.web.expected_tokens=143Bn", r"expected_tokens: write a number of tokens as 143000 or 143B"),
    "held-out source": ("holdout.sources=['nowhere']", r"holdout\.sources: nowhere is not a source; known: "),
    "version of no component": ("versions.x.wob=all", r"versions\.x: wob is not a component of the mixture"),
    "filtered but not scored": ("versions.x.books=filtered", r"versions: books is filtered or sampled"),
    "language": ("select.languages=['English']", r"select\.languages\.0: "),
}


@pytest.mark.parametrize("override", REFUSED, ids=str)
def test_a_wrong_value_is_refused_by_file_key_and_remedy(override):
    setting, message = REFUSED[override]
    with pytest.raises(ConfigError, match=message) as refusal:
        load_corpus_config(str(CONFIGS / "demo.toml"), [setting])
    assert str(refusal.value).startswith(str(CONFIGS / "demo.toml"))


def test_a_missing_file_and_broken_toml_are_told(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read \(No such file"):
        load_corpus_config(str(tmp_path / "none.toml"))
    (tmp_path / "broken.toml").write_text("name = \n")
    with pytest.raises(ConfigError, match=r"broken\.toml: not TOML: .*line 1"):
        load_corpus_config(str(tmp_path / "broken.toml"))


def test_amounts_have_units():
    assert parse_amount("143B") == 143 * 10**9
    assert parse_amount("1.5T") == 1_500_000_000_000
    assert parse_amount(7) == 7


def test_names_of_files_are_not_in_the_recipe_of_a_version():
    one = load_corpus_config(str(CONFIGS / "corpus.toml"), ["data=/one"])
    two = load_corpus_config(str(CONFIGS / "corpus.toml"), ["data=/two", "sources.bbc.files=['{data}/x.zip']"])
    assert one.version_recipe("filtered") == two.version_recipe("filtered")
    assert one.version_recipe("filtered") != one.version_recipe("random")


def test_what_filters_is_no_part_of_a_version_that_takes_everything():
    one = load_corpus_config(str(CONFIGS / "demo.toml"))
    two = load_corpus_config(str(CONFIGS / "demo.toml"), ["sample.alpha='5'"])
    assert one.version_recipe("unfiltered") == two.version_recipe("unfiltered")
    assert one.version_recipe("filtered") != two.version_recipe("filtered")


def test_the_data_folder_is_taken_literally_even_with_characters_of_a_pattern(tmp_path):
    folder = tmp_path / "a [1]*"
    folder.mkdir()
    (folder / "page.txt").write_text("text")
    assert locate([fill_data("{data}/*.txt", str(folder))]) == [str(folder / "page.txt")]
    assert fill_data("{data}/*.txt", "gs://bucket/x") == "gs://bucket/x/*.txt"


class _Named(Settings):
    name: str
    size: int = 0


def test_an_override_of_digits_is_text_where_text_is_wanted(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('name = "a"')
    assert load_settings(_Named, str(path), ["name=8513", "size=4"]) == _Named(name="8513", size=4)
