"""A process that trains gets memory in large pages, by a variable that has to be there before it starts."""

import os
import subprocess
import sys

import pytest

from trainer.ablation.run_pool import worker_environment
from trainer.huge_pages import LARGE, TUNABLES, with_huge_pages

ASK = """
import os, sys
from trainer.huge_pages import restart_with_huge_pages
print(os.getpid(), flush=True)
restart_with_huge_pages()
print(os.environ["GLIBC_TUNABLES"], sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, f"{LARGE}=1"),
        ("glibc.malloc.arena_max=2", f"glibc.malloc.arena_max=2:{LARGE}=1"),
        (f"{LARGE}=0", f"{LARGE}=0"),
    ],
)
def test_what_the_variable_says_already_stays(given, expected):
    environment = {"HOME": "/nowhere"} | ({TUNABLES: given} if given else {})
    assert with_huge_pages(environment) == {"HOME": "/nowhere", TUNABLES: expected}


@pytest.mark.skipif(sys.platform != "linux", reason="the variable is that of glibc")
def test_the_process_begins_again_once_with_its_number_and_arguments():
    environment = {name: value for name, value in os.environ.items() if name != TUNABLES}
    command = [sys.executable, "-c", ASK, "one", "two words"]
    said = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    assert said[0] == said[1]
    assert said[2:] == [f"{LARGE}=1 ['one', 'two words']"]


@pytest.mark.skipif(sys.platform != "linux", reason="the variable is that of glibc")
def test_a_training_has_large_pages():
    command = [sys.executable, "-X", "importtime", "-m", "glam", "train", "--help"]
    environment = {name: value for name, value in os.environ.items() if name != TUNABLES}
    begun = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stderr
    assert begun.count(" trainer.huge_pages") == 2  # the process began twice
    assert LARGE in worker_environment()[TUNABLES]
