"""A real Flink in one JVM on loopback, from the jars of Maven Central, with jobs that push back; fetched once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.kafka_broker import free_ports
from tests.support.programs import fetched, why_missing
from tests.support.waiting import wait_until

MODERN, CLASSIC = "1.20.1", "1.9.3"
JOBS = {
    MODERN: ("pushed-back", "calm", "legacy", "skewed", "bursty"),
    CLASSIC: ("pushed-back", "calm", "skewed", "bursty"),
}
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_HOST = "127.0.0.1"
_SOURCES = Path(__file__).parent / "flink_jobs"
# What Flink does by reflection, and newer Java allows only on demand.
_OPENS = {
    MODERN: ("java.util", "java.lang", "java.time"),
    CLASSIC: (
        "java.util", "java.lang", "java.nio", "java.time", "sun.nio.ch", "java.net", "java.lang.reflect",
        "java.util.concurrent",
    ),
}  # fmt: skip
_CLASSES = {MODERN: "Modern", CLASSIC: "Classic"}


def why_not() -> str | None:
    """Why no Flink can be started here; None where one can."""
    is_fetched = all((_folder(version) / "complete").exists() for version in JOBS)
    return why_missing("javac", *(() if is_fetched else ("mvn",)))


def _folder(version: str) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "penstock" / f"flink-{version}"


def jars(version: str) -> Path:
    """The folder of the jars; one process fetches them, a half fetched one is never taken for whole."""
    folder = _folder(version)
    if not (folder / "complete").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / ".fetching").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "complete").exists():
                fetched(f"Flink {version}", lambda: _fetch(version, folder))
    return folder / "lib"


def _fetch(version: str, folder: Path) -> str | None:
    """What went wrong."""
    work = Path(tempfile.mkdtemp(prefix="fetch-", dir=folder.parent))
    try:
        (work / "pom.xml").write_text(_pom(version))
        command = [
            "mvn", "-B", "-q", f"{_PLUGIN}:copy-dependencies", "-DincludeScope=runtime",
            f"-DoutputDirectory={work}/lib",
        ]  # fmt: skip
        for attempt in range(3):
            done = subprocess.run(
                command, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                break
            if attempt == 2:
                return done.stdout[-3000:]
        assert [*(work / "lib").glob("flink-runtime*.jar")], done.stdout
        shutil.rmtree(folder, ignore_errors=True)
        (work / "complete").touch()
        work.rename(folder)
        return None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _pom(version: str) -> str:
    flink = "org.apache.flink"
    # Of the web part of 1.9 there is one for Scala 2.11 alone, with nothing of Scala in it: it comes without its own.
    alone = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    names = {
        MODERN: [(f"flink-{name}", "") for name in ("streaming-java", "clients", "runtime-web", "connector-datagen")],
        CLASSIC: [("flink-streaming-java_2.12", ""), ("flink-runtime-web_2.11", alone)],
    }[version]
    wanted = [(flink, name, version, more) for name, more in names] + [("org.slf4j", "slf4j-simple", "1.7.36", "")]
    dependencies = "".join(
        f"<dependency><groupId>{g}</groupId><artifactId>{a}</artifactId><version>{v}</version>{more}</dependency>"
        for g, a, v, more in wanted
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>penstock</groupId>'
        f"<artifactId>flink</artifactId><version>1</version><packaging>pom</packaging><dependencies>{dependencies}"
        "</dependencies></project>"
    )


def _classes(version: str) -> Path:
    """Our jobs, compiled against that version."""
    sources = [_SOURCES / f"{name}.java" for name in ("Parts", _CLASSES[version])]
    state = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    folder = _folder(version) / f"classes-{state}"
    library = jars(version)
    if not folder.exists():
        work = Path(tempfile.mkdtemp(prefix="classes-", dir=folder.parent))
        done = subprocess.run(
            [
                "javac",
                "-nowarn",
                "-proc:none",
                "-Xlint:-options",
                "--release",
                "11" if version == MODERN else "8",
                "-cp",
                f"{library}/*",
                "-d",
                str(work),
                *map(str, sources),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        with suppress(OSError):
            work.rename(folder)
        shutil.rmtree(work, ignore_errors=True)
    return folder


def web_pages(folder: Path) -> Path:
    """Flink's own web dashboard as static files."""
    (archive,) = jars(MODERN).glob("flink-runtime-web*.jar")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder, [name for name in packed.namelist() if name.startswith("web/")])
    return folder / "web"


class FlinkCluster:
    """A job manager and a task manager in one JVM; `start`, `kill` and `start` again, on one port."""

    def __init__(
        self, folder: Path, version: str, jobs: Sequence[str], *, burst_seconds: int = 20, **settings: object
    ) -> None:
        self._folder = folder
        self._version = version
        self._jobs = jobs
        self._burst_seconds = burst_seconds
        (self.port,) = free_ports(1)
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.port}"

    def start(self) -> FlinkCluster:
        """Returns once all tasks run."""
        with (self._folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert wait_until(self._runs, seconds=180), self._log()
        return self

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(20)

    def get(self, path: str) -> Any:
        """What it answers itself."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + path, timeout=20) as answer:
            return json.load(answer)

    def jobs(self) -> dict[str, str]:
        """Name to id."""
        return {job["name"]: job["jid"] for job in self.get("/jobs/overview")["jobs"]}

    def _runs(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log()
        with suppress(OSError, ValueError):
            jobs = self.get("/jobs/overview")["jobs"]
            whole = [job for job in jobs if job["tasks"]["running"] == job["tasks"]["total"] > 0]
            return len(whole) == len(self._jobs)
        return False

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-3000:]

    def _command(self) -> list[str]:
        tmp = self._folder / "tmp"
        tmp.mkdir(exist_ok=True)
        values: dict[str, object] = {
            **dict.fromkeys(
                (
                    "rest.address",
                    "rest.bind-address",
                    "jobmanager.bind-host",
                    "taskmanager.bind-host",
                    "taskmanager.host",
                ),
                _HOST,
            ),
            "rest.port": self.port,
            "rest.bind-port": self.port,
            "web.submit.enable": "false",
            "metrics.fetcher.update-interval": 1000,
            "taskmanager.memory.network.min": "64mb",
            "taskmanager.memory.network.max": "64mb",
            "taskmanager.network.memory.min": "64mb",
            "taskmanager.network.memory.max": "64mb",
            **{key.replace("_", "."): value for key, value in self._settings.items()},
        }
        if self._version == MODERN:
            values = {key: value for key, value in values.items() if not key.startswith("taskmanager.network.memory")}
        return [
            "java", "-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=160m", "-Xss512k",
            "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", f"-Djava.io.tmpdir={tmp}",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENS[self._version]),
            "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
            "-cp", f"{_classes(self._version)}:{jars(self._version)}/*", f"jobs.{_CLASSES[self._version]}",
            ",".join(self._jobs), str(self._burst_seconds), *(f"{key}={value}" for key, value in values.items()),
        ]  # fmt: skip


@contextmanager
def flink_cluster(version: str, jobs: Sequence[str], **settings: Any) -> Iterator[FlinkCluster]:
    folder = Path(tempfile.mkdtemp(prefix="penstock-flink-"))
    cluster = FlinkCluster(folder, version, jobs, **settings)
    try:
        yield cluster.start()
    finally:
        cluster.kill()
        shutil.rmtree(folder, ignore_errors=True)
