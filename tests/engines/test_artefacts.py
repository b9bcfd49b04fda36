"""What a Flink cluster is made of: what is missing is named with its remedy, what was not released is refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile

import pytest

from engines.flink import artefacts
from engines.flink.artefacts import (
    ToolMissingError,
    cache_folder,
    fetch,
    find_java,
    maven_bytes,
    pip_bytes,
    read_checksums,
)
from engines.flink.cluster import Cluster, free_ports
from pipelines.progress import SilentDisplay
from pipelines.store.errors import GlamError


def program(folder, name, script):
    """Write a program into bin/ of a folder."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def java(tmp_path, monkeypatch):
    """A program that says that it is Java 17, as JAVA_HOME; an empty cache; no other programs."""
    path = program(tmp_path, "java", "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("GLAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return path


def test_java_is_found_where_java_home_says(java):
    assert find_java() == str(java)


@pytest.mark.parametrize("version", ["1.8.0_412", "21.0.2"])
def test_a_java_that_flink_does_not_run_on_is_refused(java, version):
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    with pytest.raises(ToolMissingError, match=r"is Java \d+: Flink needs Java 11 or 17; install one \(e\.g\. apt-get"):
        find_java()


def test_without_java_the_remedy_is_told(java, monkeypatch):
    monkeypatch.delenv("JAVA_HOME")
    java.unlink()
    with pytest.raises(ToolMissingError, match="Java is missing: Flink needs Java 11 or 17; install one"):
        fetch()


@pytest.mark.usefixtures("java")
def test_without_maven_the_remedy_is_told():
    (cache_folder() / "flink" / f"flink-{artefacts.FLINK_VERSION}").mkdir(parents=True)
    with pytest.raises(ToolMissingError, match="Maven is missing, which fetches Beam's Flink runner; install it"):
        fetch()


@pytest.mark.usefixtures("java")
def test_a_file_that_is_not_the_released_one_is_refused_and_nothing_stays(tmp_path):
    (cache_folder() / "flink" / f"flink-{artefacts.FLINK_VERSION}").mkdir(parents=True)
    jar = next(name for name in read_checksums() if name.endswith(".jar"))
    program(
        tmp_path, "mvn", f'for a in "$@"; do case $a in -DoutputDirectory=*) echo x > "${{a#*=}}/{jar}";; esac; done'
    )
    found = hashlib.sha256(b"x\n").hexdigest()
    with pytest.raises(GlamError, match=f"{jar}: its sha256 is {found}, checksums.txt has {read_checksums()[jar]}"):
        fetch()
    assert [path.name for path in (cache_folder() / "flink").iterdir()] == [f"flink-{artefacts.FLINK_VERSION}"]


@pytest.mark.usefixtures("java")
def test_other_versions_are_fetched_and_it_is_said_that_nothing_is_compared(tmp_path, capsys):
    (cache_folder() / "flink" / "flink-1.20.1").mkdir(parents=True)
    program(
        tmp_path, "mvn", 'for a in "$@"; do case $a in -DoutputDirectory=*) echo x > "${a#*=}/new.jar";; esac; done'
    )
    made = fetch("1.20.1", "2.99.0")
    assert made.job_server == f"{cache_folder()}/flink/beam-2.99.0-flink-1.20/*"
    assert "Beam's Flink runner 2.99.0 for Flink 1.20: its checksums are not known" in capsys.readouterr().err


class Shown(SilentDisplay):
    """Keeps what is shown; a download that waits for the file `seen` goes on when its bytes were."""

    def __init__(self, seen):
        self.seen, self.labels, self.bytes = seen, [], []

    def start(self, label, total, unit, done=0):  # noqa: ARG002
        self.labels.append((label, total, unit))

    def move(self, done, detail=""):  # noqa: ARG002
        if done:
            self.bytes.append(done)
            self.seen.touch()


def test_a_download_shows_bytes_while_it_runs(java, tmp_path, monkeypatch):
    seen, parts = tmp_path / "seen", tmp_path / "apache-flink-libraries-1.20.1" / "deps"
    for part in ("lib", "bin"):
        (parts / part).mkdir(parents=True)
    with tarfile.open(tmp_path / "flink.tar.gz", "w:gz") as tar:
        tar.add(parts.parent, parts.parent.name)
    wait = f"while [ ! -e {seen} ]; do /bin/sleep 0.1; done"
    to_dest = '--dest) shift; /bin/mkdir "$1"; /bin/cp ' + str(tmp_path / "flink.tar.gz") + ' "$1";;'
    script = f'echo "Progress 1000 of 4000"; {wait}; while [ $# -gt 0 ]; do case $1 in {to_dest} esac; shift; done'
    monkeypatch.setattr(artefacts.sys, "executable", str(program(tmp_path, "python", script)))
    script = f"echo 'Downloaded from central: https://m/a.jar (1.5 kB at 3.1 MB/s)'; {wait}"
    program(tmp_path, "mvn", script)
    shown = Shown(seen)
    made = fetch("1.20.1", "2.99.0", display=shown)
    assert sorted(path.name for path in made.flink.iterdir()) == ["bin", "lib"]
    assert made.java == str(java)
    assert shown.labels == [
        ("fetching Flink 1.20.1", None, "bytes"),
        ("fetching Beam's Flink runner 2.99.0", None, "bytes"),
    ]
    assert shown.bytes[0] == 1000


def test_what_was_fetched_is_read_from_what_the_programs_say():
    assert pip_bytes("Collecting x\nProgress 10 of 30\nProgress 25 of 30\n") == 25
    said = "[INFO] Downloading from central: u\nDownloaded from central: u (1.5 MB at 3 MB/s)\n"
    assert maven_bytes(said + "[INFO] Downloaded from mirror: v (900 B at 2 kB/s)\n") == 1_500_900
    assert pip_bytes("") == maven_bytes("Downloading from central: u\n") == 0


@pytest.mark.usefixtures("java")
def test_a_download_that_fails_tells_the_errors_among_what_was_said(tmp_path):
    (cache_folder() / "flink" / f"flink-{artefacts.FLINK_VERSION}").mkdir(parents=True)
    program(tmp_path, "mvn", "echo '[INFO] scanning'; echo '[ERROR] no route to host' >&2; exit 1")
    with pytest.raises(ToolMissingError, match=r"could not fetch Beam's Flink runner 2\.62\.0: \[ERROR\] no route"):
        fetch()


def test_a_job_server_of_ones_own_takes_the_place_of_beams(java, tmp_path):
    (cache_folder() / "flink" / "flink-1.20.1").mkdir(parents=True)
    jar = tmp_path / "server.jar"
    with pytest.raises(GlamError, match=r"server\.jar: no such file"):
        fetch("1.20.1", job_server_jar=jar)
    jar.write_bytes(b"")
    assert fetch("1.20.1", job_server_jar=jar) == (cache_folder() / "flink/flink-1.20.1", str(jar), str(java))


def test_every_checksum_is_one():
    checksums = read_checksums()
    assert f"apache-flink-libraries-{artefacts.FLINK_VERSION}.tar.gz" in checksums
    assert f"beam-runners-flink-1.19-{artefacts.BEAM_VERSION}.jar" in checksums
    assert all(len(bytes.fromhex(digest)) == 32 for digest in checksums.values())


def test_a_process_that_ends_at_once_is_told_with_its_log_and_what_was_started_is_stopped(java, tmp_path):
    flags, rest = "BASH_JAVA_UTILS_EXEC_RESULT:", f'*) exec {sys.executable} -c "{WAIT}" "$*";; esac'
    java.write_text(f'#!/bin/sh\ncase "$*" in *BashJavaUtils*) echo {flags}; echo {flags};; {rest}\n')
    cluster = Cluster(artefacts.Artefacts(tmp_path, "none", str(java)), tmp_path / "cluster")
    with subprocess.Popen([str(java), "TaskManagerRunner"]) as of_another:
        with pytest.raises(GlamError, match=r"task-manager-1 ended with 3: see .*cluster/logs/task-manager-1\.log"):
            cluster.start()
        processes = list(cluster.processes.values())
        cluster.stop()
        assert len(processes) == 3
        assert all(process.returncode is not None for process in processes)
        assert of_another.poll() is None, "what it did not start goes on"
        of_another.kill()


WAIT = "import sys,time; sys.exit(3) if 'task-manager-1' in sys.argv[1] else time.sleep(600)"


def test_ports_are_different_ones():
    assert len(set(free_ports())) == 5
