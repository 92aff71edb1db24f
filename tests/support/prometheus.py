"""A real Prometheus server (Debian's) for the length of a test."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.programs import program
from tests.support.waiting import wait_until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Prometheus:
    """Scrapes one target each second, from `with` to its end; `rules` are rule files to load."""

    def __init__(
        self,
        folder: Path,
        target: str,
        *,
        interval: str = "1s",
        rules: tuple[Path, ...] = (),
        features: tuple[str, ...] = (),
        takes_writes: bool = False,
    ) -> None:
        """`features` are those that it has to be asked for, such as `exemplar-storage`.

        `takes_writes`: samples may be handed to it, and it scrapes nothing.
        """
        self._features = features
        self._takes_writes = takes_writes
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        config = {
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": [str(rule) for rule in rules],
            "scrape_configs": [{"job_name": "penstock", "static_configs": [{"targets": [target]}]}]
            if not takes_writes
            else [],
        }
        self._config = folder / "prometheus.yml"
        # JSON is YAML.
        self._config.write_text(json.dumps(config))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        log = (self._folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={self._config}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                *(["--web.enable-remote-write-receiver"] if self._takes_writes else []),
                *(f"--enable-feature={feature}" for feature in self._features),
            ],
            stdout=log,
            stderr=log,
        )
        log.close()
        assert wait_until(self._is_ready), (self._folder / "prometheus.log").read_text()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        return self._get("query", query=expression)

    def query_at(self, expression: str, at: float) -> list[dict[str, Any]]:
        """The result of an instant query at a time in the past."""
        return self._get("query", query=expression, time=at)

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        return self._get("query_range", query=expression, start=start, end=end, step=step)

    def exemplars(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """Series with the exemplars that were scraped for them; needs `exemplar-storage`."""
        query = urllib.parse.urlencode({"query": expression, "start": start, "end": end})
        with urllib.request.urlopen(f"{self.url}/api/v1/query_exemplars?{query}", timeout=20) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]
        return found

    def value(self, expression: str) -> float | None:
        """The one value of an instant query; None when there is no series."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression} gives {len(found)} series"
        return float(found[0]["value"][1]) if found else None

    def _get(self, path: str, **params: object) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode({key: str(value) for key, value in params.items()})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=20) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{params}: {error.read().decode()}") from error
        result: list[dict[str, Any]] = said["data"]["result"]
        return result
