"""A real PostgreSQL of the machine's own, in a folder of the test's, without TCP."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.support.programs import find, why_missing
from tests.support.waiting import wait_until

_POSTGRES = find("postgres")
PROGRAMS = None if _POSTGRES is None else _POSTGRES.parent
# Why there is none; None where one can be started.
MISSING = why_missing("postgres")


class PostgresServer:
    """Runs as the user `postgres` where the test is root, which the server refuses to be."""

    def __init__(self, folder: Path, standby_of: PostgresServer | None = None) -> None:
        assert PROGRAMS is not None
        self.folder = self._folder = folder
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        where = ("-D", str(self._data), "-U", "penstock")
        if standby_of is None:
            self._run("initdb", *where, "-A", "trust", "--no-sync", "--no-instructions")
        else:
            self._run("pg_basebackup", *where, "-h", str(standby_of.folder), "-R", "-c", "fast", "--no-sync")

    def promote(self) -> None:
        """A standby becomes the primary."""
        self._run("pg_ctl", "promote", "-D", str(self._data), "-w")

    @property
    def url(self) -> str:
        return f"postgresql://penstock@/postgres?host={self._folder}"

    def _command(self, program: str, *arguments: str) -> list[str]:
        assert PROGRAMS is not None
        return [str(PROGRAMS / program), *arguments]

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            self._command(program, *arguments), check=True, capture_output=True, cwd=self._folder, **self._as_user()
        )

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command("postgres", "-D", str(self._data), "-k", str(self._folder), "-c", "listen_addresses="),
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / "log").open("ab"),
            cwd=self._folder,
            **self._as_user(),
        )
        assert wait_until(self._answers), (self._folder / "log").read_text()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Ends it at once, with the connections that stand; a crash, seen from them."""
        self._signal(signal.SIGQUIT)

    def hang(self) -> None:
        """Stops all its processes, so that connections stand and nothing answers."""
        for process in self._family():
            os.kill(process, signal.SIGSTOP)

    def go_on(self) -> None:
        for process in self._family():
            # One that ends as soon as it goes on.
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)

    def _family(self) -> list[int]:
        if self._process is None:
            return []
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return [self._process.pid, *map(int, children)]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(text.encode()).fetchall()

    def execute(self, text: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(text.encode())


@contextmanager
def postgres_server(standby_of: PostgresServer | None = None) -> Iterator[PostgresServer]:
    """`standby_of`: one that streams from another."""
    # Short, for a socket's path may have 107 bytes, and where everybody may look in.
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    try:
        server = PostgresServer(folder, standby_of)
        server.start()
        try:
            yield server
        finally:
            server.go_on()
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
