"""What holds for every reader, and finding files."""

import pickle
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources.errors import SourceError
from pipelines.sources.locate import locate, locate_pattern
from pipelines.sources.reader import Reader
from pipelines.sources.record import Quarantined, Skipped, Used
from pipelines.sources.registry import READERS

EVERY = pytest.mark.parametrize("name", sorted(READERS))
MARKS = [
    b"<page>",
    b"</page>",
    b"<REUTERS",
    b"</REUTERS>",
    b"WARC/1.0\r\n",
    b"\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"{",
    b"%\n",
]
GZIP = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
NOISE = st.lists(
    st.sampled_from([*MARKS, GZIP, b"BZh91AY&SY", b"PK\x03\x04", b"\n", b"text "]) | st.binary(max_size=20)
)


@EVERY
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(noise=NOISE)
def test_no_content_stops_a_reader(name, noise, tmp_path):
    path = tmp_path / "noise"
    path.write_bytes(b"".join(noise))
    for record in READERS[name]({}).read(str(path)):
        assert isinstance(record.outcome, Used | Skipped | Quarantined)
        assert record.raw_bytes >= 0
        assert record.offset >= 0


@EVERY
def test_missing_file_and_folder_are_errors_that_name_them(name, tmp_path):
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(SourceError, match=str(path)):
            list(READERS[name]({}).read(str(path)))


@EVERY
def test_a_reader_can_be_sent_to_a_worker(name):
    reader: Reader = pickle.loads(pickle.dumps(READERS[name]({"min_characters": 7})))
    assert reader.options.min_characters == 7


@EVERY
def test_options_are_checked_with_the_name_of_the_key(name):
    options = READERS[name].check_options({"max_record_bytes": 5})
    assert options["max_record_bytes"] == 5
    assert options["min_characters"] == 1
    with pytest.raises(ValueError, match=r"option 'colour' is unknown; there are: .*max_record_bytes"):
        READERS[name].check_options({"colour": 1})
    with pytest.raises(ValueError, match=r"option 'min_characters': .*greater than or equal to 1"):
        READERS[name].check_options({"min_characters": 0})


def test_options_that_are_refused():
    for options, problem in [
        ({"chapters": "("}, "not a regular expression"),
        ({"fallback_encoding": "no-such-encoding"}, "not an encoding"),
        ({"split": "page"}, "'file', 'line', 'paragraph' or 'fortune'"),
    ]:
        with pytest.raises(ValueError, match=problem):
            READERS["text"].check_options(options)


def test_files_named_by_options_are_inputs_and_not_part_of_the_recipe():
    options = {"index": "pages/index.json"}
    assert "index" not in READERS["html"].check_options(options)
    assert READERS["html"].option_files(options) == ["pages/index.json"]
    assert READERS["html"].option_files({}) == READERS["text"].option_files({}) == []


def test_importing_the_registry_imports_no_heavy_library():
    code = "\n".join(
        [
            "import sys, pipelines.sources.registry, pipelines.language",
            "heavy = 'apache_beam tensorflow jax fastwarc resiliparse mwparserfromhell yaml zstandard fsspec pyarrow'",
            "print(*[name for name in heavy.split() if name in sys.modules])",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# ---- Finding files


def test_globs_are_sorted_and_each_file_comes_once(tmp_path):
    for name in ("b.txt", "a.txt", "deep/er/c.txt", "d.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = locate([f"{tmp_path}/*.txt", f"{tmp_path}/a.txt", f"{tmp_path}/**/*.txt"])
    assert found == [f"{tmp_path}/a.txt", f"{tmp_path}/b.txt", f"{tmp_path}/deep/er/c.txt"]
    assert locate([f"{tmp_path}/*.none", f"{tmp_path}/none.txt", f"{tmp_path}/deep"]) == []


def test_remote_globs_give_urls_that_readers_open():
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("/found/a.txt", "/found/b.txt"):
        with memory.open(name, "wb") as file:
            file.write(b"Some text.")
    found = locate(["memory://found/*.txt", "memory://found/none"])
    assert found == ["memory:///found/a.txt", "memory:///found/b.txt"]
    (record,) = READERS["text"]({}).read(found[0])
    assert record.outcome.texts[0].text == "Some text."
    with pytest.raises(SourceError, match="memory:///found/c"):
        list(READERS["text"]({}).read("memory:///found/c"))


def test_files_of_packages_are_found_without_importing_them():
    (path,) = locate_pattern("package:pipelines/sources/locate.py")
    assert path.endswith("pipelines/sources/locate.py")
    assert locate_pattern("distribution:pytest/pytest/__main__.py")


@pytest.mark.parametrize(
    "pattern", ["package:no_such_package/x", "package:no.such.package/x", "distribution:no-such-dist/x"]
)
def test_missing_package_names_the_remedy(pattern):
    with pytest.raises(SourceError, match=r"not installed.*\[demo\]"):
        locate_pattern(pattern)


@pytest.mark.parametrize("pattern", ["package:gensim", "distribution:/x"])
def test_incomplete_pattern_is_refused(pattern):
    with pytest.raises(SourceError, match="NAME/GLOB"):
        locate_pattern(pattern)
