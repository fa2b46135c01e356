"""The stack's Postgres: initialise, start, provision. TCP on loopback with passwords only, no Unix socket."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from processes import Child, Processes
from state import Failed, State

HERE = Path(__file__).resolve().parent
DATABASE = "shequn"
READY_SECS = 60  # crash recovery included
CONF = """\
# Written by stack.py at each `up`.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''    # a socket's path may have 107 bytes, a checkout's may have more
password_encryption = scram-sha-256
max_connections = 300
fsync = on
synchronous_commit = on
track_commit_timestamp = on    # the benchmark of the event hop reads it
shared_preload_libraries = '{preload}'
timezone = UTC
log_timezone = UTC
log_line_prefix = '%m [%p] %q%u@%d '
log_checkpoints = off
"""
HBA = """\
host all all 127.0.0.1/32 scram-sha-256
host replication postgres 127.0.0.1/32 scram-sha-256    # `make backup` copies as a standby would
"""


@dataclass(frozen=True)
class Postgres:
    state: State
    processes: Processes
    bin: Path
    port: int
    password: str

    @property
    def data(self) -> Path:
        return self.state.root / "postgres"

    def url(self, user: str, password: str, database: str = DATABASE) -> str:
        return f"postgres://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        if not self.processes.pid("postgres"):
            # Left by a crash; its pid may be somebody else's by now, and Postgres would refuse to start.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        if not self.data.exists():
            self.initialise()
        preload = "pg_stat_statements" if self.has_extension("pg_stat_statements") else ""
        conf = CONF.format(port=self.port, preload=preload)
        (self.data / "postgresql.conf").write_text(conf)
        (self.data / "pg_hba.conf").write_text(HBA)
        argv = [*as_ordinary_user(), str(self.bin / "postgres"), "-D", str(self.data)]
        # SIGINT is the fast shutdown; SIGTERM would wait until every client has left.
        self.processes.ensure(Child("postgres", argv, inputs=conf + HBA, stop_signal=signal.SIGINT, stop_secs=30))
        self.processes.wait_ready("postgres", self.is_ready, READY_SECS,
                                  remedy="if the data is beyond repair: stack.py down --wipe")

    def initialise(self) -> None:
        """Beside the final place, then one rename: a data folder that is there is whole."""
        for leftover in self.state.root.glob("postgres.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)  # of a killed one, whose initdb may still be writing
        new = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.state.root))
        password = self.state.run / "postgres.password"
        password.write_text(self.password)
        done = subprocess.run(
            [*as_ordinary_user(), self.bin / "initdb", "--pgdata", new, "--username=postgres", "--pwfile", password,
             "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=builtin",
             "--builtin-locale=C.UTF-8", "--no-instructions"],
            cwd=self.state.root, env=clean_env(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        password.unlink()
        if done.returncode != 0:
            raise Failed("initdb failed", log=done.stdout + done.stderr,
                         remedy=NAMESPACE_REMEDY if as_ordinary_user() else "")
        new.rename(self.data)

    def has_extension(self, name: str) -> bool:
        try:
            told = subprocess.run([self.bin / "pg_config", "--sharedir"], capture_output=True, text=True).stdout
        except FileNotFoundError:  # some packages ship it apart
            return False
        return (Path(told.strip()) / "extension" / f"{name}.control").exists()

    def is_ready(self) -> bool:
        """The last line of the postmaster's own file; asking over TCP would only log refusals."""
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        except (OSError, IndexError):
            return False

    def server(self) -> dict[str, str]:
        """How its programs reach it as superuser."""
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres", "PGPASSWORD": self.password,
                "PGCONNECT_TIMEOUT": "10"}

    def sql(self, script: str, database: str = DATABASE) -> str:
        """Run as superuser by psql, all or nothing."""
        done = subprocess.run([self.bin / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1"], input=script, text=True,
                              capture_output=True, env=clean_env() | self.server() | {"PGDATABASE": database})
        if done.returncode != 0:
            raise Failed(f"psql on database {database} failed", log=done.stderr,
                         remedy="if secrets.json was lost: stack.py down --wipe")
        return done.stdout.strip()

    def provision(self, passwords: dict[str, str]) -> None:
        roles = (HERE / "provision-roles.sql").read_text()
        self.sql(f"set shequn.passwords = '{json.dumps(passwords)}';\n{roles}\n"
                 "select 'create extension if not exists pg_stat_statements' "
                 "where current_setting('shared_preload_libraries') ~ 'pg_stat_statements' \\gexec\n"
                 f"select 'create database {DATABASE}' "
                 f"where not exists (select from pg_database where datname = '{DATABASE}') \\gexec", "postgres")
        self.sql((HERE / "provision-database.sql").read_text())


NAMESPACE_REMEDY = ("Postgres refuses root and users without a name, so it runs in a user namespace: allow these "
                    "(sysctl user.max_user_namespaces), or run stack.py as an ordinary user")


def as_ordinary_user() -> list[str]:
    """Postgres refuses to run as root, initdb as a user whom /etc/passwd does not name (containers have such ones): a
    user namespace shows them another user, while outside of it every file and process stays ours."""
    names = {entry.pw_uid: entry for entry in pwd.getpwall()}
    if os.geteuid() != 0 and os.geteuid() in names:
        return []
    if not (unshare := shutil.which("unshare")):
        raise Failed("`unshare` (util-linux) is missing", remedy=NAMESPACE_REMEDY)
    other = next(entry for uid, entry in names.items() if uid != 0)
    return [unshare, "--user", f"--map-user={other.pw_uid}", f"--map-group={other.pw_gid}", "--"]


def clean_env() -> dict[str, str]:
    """Without the person's own PG… settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
