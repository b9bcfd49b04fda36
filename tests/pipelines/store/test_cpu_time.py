"""The bill has the time of processes below this one in it, running or ended."""

import subprocess
import sys

from pipelines.store.cpu_time import cpu_seconds

BURN = "import sys, time\nwhile time.process_time() < 0.5: pass\nprint('burnt', flush=True)\nsys.stdin.read()"
NESTED = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"


def run_and_look(program):
    """Return the seconds counted while a process that used 0.5 is waiting, and after it ended."""
    before = cpu_seconds()
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "burnt\n"
        running = cpu_seconds() - before
    return running, cpu_seconds() - before


def test_time_of_a_process_that_is_still_running_is_counted():
    running, ended = run_and_look(BURN)
    assert running >= 0.45
    assert ended >= running - 0.05  # the kernel's ticks are hundredths of a second


def test_time_of_a_process_below_a_process_is_counted():
    running, ended = run_and_look(NESTED)
    assert running >= 0.45
    assert ended >= running - 0.05
