"""What the rivals run on: a Postgres of the stack's own making with broadcast's tables, a Redis, the sink of `load`."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from statements import REPO, statement

PROGRAMS = Path(os.environ.get("SHEQUN_PROGRAMS", REPO / "target" / "release"))
SEEDED_ROWS = 50_000
READY_SECS = 30
AOF = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
NOBODY = str(uuid.UUID(int=0))
TEXT = "The spring colours are here. Come and try them, tea is on us."


def succeed(*argv: object, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(list(map(str, argv)), env=os.environ | (env or {}), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(map(str, argv))}` failed: {done.stdout}{done.stderr}")
    return done.stdout


class Line:
    """A child process that is asked line by line, and ends when its standard input does."""

    def __init__(self, argv: list[str], log: Path, env: dict[str, str] | None = None):
        self.log, self.name = log, " ".join(Path(word).name for word in argv)
        with open(log, "ab") as errors:
            self.child = subprocess.Popen(argv, env=os.environ | (env or {}), text=True, bufsize=1,
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)

    def hear(self) -> str:
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended; it said: {self.log.read_text()[-2000:]}")
        return line.strip()

    def ready(self) -> None:
        if (said := self.hear()) != "ready":
            raise RuntimeError(f"{self.name} said {said!r}")

    def say(self, line: str) -> None:
        self.child.stdin.write(line + "\n")

    def end(self, secs_max: float = 30) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.close()
        try:
            code = self.child.wait(secs_max)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise RuntimeError(f"{self.name} does not end") from None
        if code != 0:
            raise RuntimeError(f"{self.name} ended with {code}; it said: {self.log.read_text()[-2000:]}")


@dataclass(frozen=True)
class Job:
    """What is sent in one run, and in jobs of how many recipients."""
    recipients: int
    per_job: int
    broadcast: str
    tenant: str


class World:
    def __init__(self, ends: contextlib.ExitStack, home: Path):
        # `stack.py down` reads the pid off the name, to end what a killed run left.
        state = REPO / ".shequn" / "private" / f"rivals-{os.getpid()}"
        stack = [sys.executable, REPO / "deploy" / "dev" / "stack.py", "--state", state]
        ends.callback(shutil.rmtree, state, ignore_errors=True)  # Redis' folder lies there, too
        ends.callback(succeed, *stack, "down", "--wipe")
        succeed(*stack, "up")
        description = json.loads((state / "stack.json").read_text())
        succeed(PROGRAMS / "broadcast", "migrate", env=description["processes"]["broadcast"]["env"])
        self.home, self.logs = home, state / "log"
        self.database_url = f"{description['postgres']['superuser_url']}?options=-c%20search_path%3Dbroadcast"
        self.database = ends.enter_context(psycopg.connect(self.database_url, autocommit=True))
        self.redis_port, self.redis_version = self.start_redis(ends, state / "redis")
        self.sink = Line([str(PROGRAMS / "load"), "--sink"], self.logs / "sink.log")
        ends.callback(self.sink.end)
        self.sink_url = self.sink.hear()
        self.seed()

    def start_redis(self, ends: contextlib.ExitStack, folder: Path) -> tuple[int, str]:
        """As a careful operator runs it: what it appends to its log reaches the disk each second."""
        folder.mkdir()
        own = self.home / "redis" / "usr"  # without it, the one on PATH
        program = own / "bin/redis-server" if own.exists() else "redis-server"
        libraries = ":".join(map(str, own.glob("lib/*-linux-gnu")))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with open(self.logs / "redis.log", "ab") as log:
            server = subprocess.Popen([program, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, *AOF],
                                      env=os.environ | {"LD_LIBRARY_PATH": libraries}, stdout=log, stderr=log)
        ends.callback(server.wait)
        ends.callback(server.terminate)
        client = redis.Redis(port=port)

        def answers() -> bool:
            try:
                return client.ping()
            except redis.ConnectionError:
                return False

        self.wait(answers, READY_SECS, "redis-server answered")
        return port, client.info()["redis_version"]

    def seed(self) -> None:
        """Rows of another mass message: nobody plans for empty tables."""
        others = {"cap": ("kind, member_id, window_start", "'enterprise', $1::uuid, '2020-01-06'"),
                  "receipt": ("n, state", "0, 'delivered'")}
        cursor = psycopg.RawCursor(self.database)
        for table, (columns, values) in others.items():
            cursor.execute(f"insert into {table} (tenant_id, broadcast_id, contact_id, {columns}) "
                           f"select $1, $1, uuidv7(), {values} from generate_series(1, $2)", [NOBODY, SEEDED_ROWS])

    def prepare(self, recipients: int, per_job: int) -> Job:
        """A mass message whose audience is resolved, as ours is when it is confirmed. Each job counts on a row of its
        own: no two wait for each other."""
        job = Job(recipients, per_job, str(uuid.uuid4()), str(uuid.uuid4()))
        cursor = psycopg.RawCursor(self.database)
        cursor.execute(
            "insert into broadcast (tenant_id, broadcast_id, kind, title, text, tags_any, tags_all, channel, "
            "started_by, state, accepted_at) "
            "values ($1, $2, 'enterprise', 'rivals', $3, '{}', '{}', 'webhook', $4, 'running', now())",
            [job.tenant, job.broadcast, TEXT, NOBODY])
        cursor.execute(
            "insert into chunk (tenant_id, broadcast_id, n, member_id, contact_ids) "
            "select $1, $2, n, $3, array_agg(id order by id) "
            "from (select (i - 1) / $4::int4 as n, uuidv7() as id from generate_series(1, $5::int4) as i) as audience "
            "group by n", [job.tenant, job.broadcast, NOBODY, per_job, recipients])
        return job

    def settle(self) -> None:
        """What was done before is not paid for later."""
        for command in ("analyze cap, receipt, chunk", "checkpoint"):
            self.database.execute(command)

    def config(self, job: Job, jobs: int, calls: int) -> dict:
        monday, today = self.database.execute("select date_trunc('week', now())::date, now()::date").fetchone()
        given = {"tenant_id": job.tenant, "broadcast_id": job.broadcast, "kind": "enterprise", "member_id": NOBODY,
                 "window_start": str(monday), "taken_on": str(today),
                 "contact_id": "$contacts", "n": "$ns", "state": "$outcomes"}
        return {"database": self.database_url, "redis_port": self.redis_port, "queue": job.broadcast,
                "sink": f"{self.sink_url}{job.broadcast}", "jobs": jobs, "calls": calls, "is_small": job.per_job == 1,
                "caps": statement("cap", given), "receipts": statement("receipt", given),
                "message": {"kind": "enterprise", "tenant": job.tenant, "broadcast_id": job.broadcast,
                            "member_id": NOBODY, "text": TEXT}}

    def tally(self, job: Job) -> tuple[int, int]:
        """How many distinct ids the sink has seen, and how many calls beside them."""
        self.sink.say(job.broadcast)
        distinct, repeats = self.sink.hear().split()
        return int(distinct), int(repeats)

    def number(self, sql: str, *values: str) -> int:
        with psycopg.RawCursor(self.database) as cursor:
            return cursor.execute(sql, values).fetchone()[0]

    def ended(self, job: Job) -> int:
        """As our own progress: the sum of the counters."""
        return self.number("select coalesce(sum(ended), 0) from chunk where broadcast_id = $1", job.broadcast)

    def check(self, job: Job) -> None:
        """Each recipient was called, once, has its receipt, and holds its cap."""
        ids = [job.broadcast]
        found = {
            "distinct ids, repeats": self.tally(job),
            "delivered": self.number("select sum(delivered) from chunk where broadcast_id = $1", *ids),
            "receipts": self.number("select count(*) from receipt where tenant_id = $1 and broadcast_id = $2 "
                                    "and state = 'delivered'", job.tenant, *ids),
            "caps": self.number("select count(distinct contact_id) from cap where tenant_id = $1 and broadcast_id = $2",
                                job.tenant, *ids)}
        n = job.recipients
        if list(found.values()) != [(n, 0), n, n, n]:
            raise RuntimeError(f"{n} recipients: {found}")

    @staticmethod
    def wait(is_so: Callable[[], bool], secs_max: float, what: str, pause_secs: float = 0.01) -> None:
        deadline = time.monotonic() + secs_max
        while not is_so():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what}: not after {secs_max:g} s")
            time.sleep(pause_secs)
