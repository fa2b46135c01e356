"""The state folder of one stack: its files, its lock, and what is chosen once and kept (ports, secrets)."""

import contextlib
import fcntl
import itertools
import json
import os
import random
import secrets
import shutil
import socket
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
HOME = REPO / ".shequn"  # the checkout's stacks and tools
LOCK_WAIT_SECS = 300
# Below the kernel's ephemeral range, so that no outgoing connection and no "port 0" listener takes one.
PORTS = range(20_000, 32_000)


class Failed(Exception):
    """Something a person has to know: what failed, the log's last lines, the remedy."""

    def __init__(self, what: str, *, log: Path | str = "", log_from: int = 0, remedy: str = ""):
        lines = log.read_bytes()[log_from:].decode(errors="replace") if isinstance(log, Path) else log
        last = [f"  | {line}" for line in lines.splitlines()[-12:]]
        where = [f"  last lines of {log}:"] if isinstance(log, Path) and last else []
        super().__init__("\n".join([what, *where, *last, *([f"  remedy: {remedy}"] if remedy else [])]))


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Whole or not at all: a crash leaves the old file."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.touch(mode=mode)
    new.write_text(text)
    new.replace(path)


def write_json(path: Path, value: object) -> None:
    write(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}


@contextlib.contextmanager
def locked(path: Path):
    """Holds the lock file while inside; the kernel lets go of it whatever happens to us."""
    with open(path, "r" if path.exists() else "w") as file:
        deadline = time.monotonic() + LOCK_WAIT_SECS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Failed(f"{path} is still held after {LOCK_WAIT_SECS} s",
                                 remedy=f"see who holds it with `fuser {path}`") from None
                time.sleep(0.05)
        yield


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class State:
    """Every path of a stack below one folder; nothing of it lies anywhere else."""

    OWNED = ("postgres", "postgres.new-*", "nats", "run", "log", "env", "keys", "tls", "nats.conf", "pgpass",
             "*.json", "*.new", "wiped-*", "restored-*")  # data before the secrets that open it

    def __init__(self, root: Path):
        self.root = root.resolve()
        self.run, self.log = self.root / "run", self.root / "log"
        self.env, self.keys = self.root / "env", self.root / "keys"
        self.tls = self.root / "tls"  # there while the services speak TLS
        self.stack_json, self.pgpass = self.root / "stack.json", self.root / "pgpass"

    def create(self) -> None:
        """The root is readable for all because the shared tools lie below it; everything else is private."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o755)
        owner = self.root.stat().st_uid
        if owner != os.geteuid():
            raise Failed(f"{self.root} belongs to user {owner}, you are {os.geteuid()}",
                         remedy="run as that user, or choose another folder with --state")
        for folder in (self.run, self.log, self.env, self.keys):
            folder.mkdir(exist_ok=True, mode=0o700)

    def lock(self):
        return locked(self.root / "lock")

    def wipe(self) -> None:
        shutil.rmtree(self.move_away())

    def move_away(self, keep: set[str] = frozenset()) -> Path:
        """Only what is ours: tools, backups and other stacks' folders may lie below the same root. Into a folder to be
        deleted, so that a crash leaves a thing whole or gone."""
        doomed = [path for pattern in self.OWNED for path in sorted(self.root.glob(pattern)) if path.name not in keep]
        away = Path(tempfile.mkdtemp(prefix="wiped-", dir=self.root))
        for path in doomed:
            path.rename(away / path.name)
        return away

    def secrets(self, names: list[str]) -> dict[str, str]:
        """Random ones, made once. Hexadecimal: safe in URLs, SQL, configuration files and shells."""
        path = self.root / "secrets.json"
        known = read_json(path)
        if missing := [name for name in names if name not in known]:
            known |= {name: secrets.token_hex(16) for name in missing}
            write_json(path, known)
        return known

    def ports(self, names: list[str], movable: list[str]) -> tuple[dict[str, int], list[str]]:
        """One port per name, kept over restarts; a movable one that somebody else took meanwhile is chosen anew.
        Answers the ports and the names of those that moved."""
        path = self.root / "ports.json"
        known = read_json(path)
        moved = [name for name in movable if name in known and not is_free(known[name])]
        wanted = moved + [name for name in names if name not in known]
        if wanted:
            with locked(HOME / "ports.lock") if self.root.is_relative_to(HOME) else contextlib.nullcontext():
                # Others chose theirs, and do not listen yet, or not just now.
                others = [HOME.glob(f"{below}ports.json") for below in ("", "*/", "private/*/")]
                chosen = [known, *map(read_json, itertools.chain.from_iterable(others))]
                used = {port for ports in chosen for port in ports.values()}
                free = (port for port in random.sample(PORTS, len(PORTS)) if port not in used and is_free(port))
                known |= dict(zip(wanted, free))
                write_json(path, known)
        return known, moved
