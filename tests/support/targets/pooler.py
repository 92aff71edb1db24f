"""A real PgBouncer in transaction mode, over sockets of the file system."""

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

import psycopg

from tests.support.programs import find
from tests.support.targets.postgres_server import PostgresServer
from tests.support.waiting import wait_until

PROGRAM = find("pgbouncer")
_SETTINGS = """\
[databases]
postgres = host={host} user=penstock dbname=postgres
[pgbouncer]
unix_socket_dir = {folder}
listen_port = 6432
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_login_retry = 0.2
"""


class Pooler:
    """Runs as the user `postgres` where the test is root, which PgBouncer refuses to be."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._folder = folder
        self._settings = folder / "pgbouncer.ini"
        user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        self._point_at(server)
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, str(self._settings)],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("ab"),
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
        )
        assert wait_until(self._answers), (folder / "log").read_text()

    @property
    def url(self) -> str:
        return f"postgresql://penstock@/postgres?host={self._folder}&port=6432"

    def turn_to(self, server: PostgresServer) -> None:
        """From now on its connections lead to another server."""
        self._point_at(server)
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(20)

    def _point_at(self, server: PostgresServer) -> None:
        self._settings.write_text(_SETTINGS.format(host=server.folder, folder=self._folder))
        self._settings.chmod(0o644)

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(self.url).close()
            return True
        return False


@contextmanager
def pooler(server: PostgresServer) -> Iterator[Pooler]:
    folder = Path(tempfile.mkdtemp(prefix="pb", dir="/tmp"))
    try:
        running = Pooler(folder, server)
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
