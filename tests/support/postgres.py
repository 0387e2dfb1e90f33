"""A real PostgreSQL server, from Debian's package, as a process of the test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbt_triton.server import free_port

USER = "shop"
_START_SECONDS = 60


@dataclass(frozen=True)
class Postgres:
    """A running server with an empty database."""

    port: int
    programs: Path

    @property
    def connection_string(self) -> str:
        """What DuckDB's ATTACH takes."""
        return f"host=127.0.0.1 port={self.port} user={USER} dbname=postgres"

    def sql(self, statement: str) -> str:
        """Run a statement by psql and return its rows, a line each, columns between |."""
        command = [str(self.programs / "psql"), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.connection_string]
        return subprocess.run(
            [*command, "-c", statement], check=True, capture_output=True, text=True, timeout=60
        ).stdout.strip()


def find_programs() -> Path | None:
    """Return the folder of the newest installed server's programs, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    in_path = shutil.which("postgres")
    return Path(in_path).resolve().parent if in_path else None


@contextmanager
def postgres_server(programs: Path) -> Generator[Postgres, None, None]:
    """Make a database cluster, serve it on a free port of 127.0.0.1, and take both away afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="dbt-triton-postgres-"))
    data = folder / "data"
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user = pwd.getpwnam("postgres").pw_name
        shutil.chown(folder, user)
    port = free_port()
    try:
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            user=user,
            cwd=folder,
        )
        with (folder / "postgres.log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"],
                user=user,
                cwd=folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        try:
            _wait(programs, port, server)
            yield Postgres(port, programs)
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(programs: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, "PostgreSQL ended while starting"
        if not subprocess.run(
            [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)], check=False, capture_output=True
        ).returncode:
            return
        time.sleep(0.1)
    raise TimeoutError("PostgreSQL was not ready in time")
