"""A stack's backup: Postgres whole, and the secrets that open it. Streams are not in it: they are filled from Postgres."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from postgres import Postgres, clean_env
from state import REPO, Failed, State, read_json, write, write_json

FORMAT = 1
SUMS, ABOUT, MANIFEST = "SHA256SUMS", "about.json", "postgres/backup_manifest"
RUNBOOK = "deploy/recovery.md says what comes back and what does not"


def say(text: str) -> None:
    print(text, flush=True)


def default_folder(state: State) -> Path:
    return state.root / "backups"


def program(postgres_bin: Path, name: str) -> Path:
    path = postgres_bin / name
    if not path.exists():
        raise Failed(f"{path} is missing", remedy="install the whole of Postgres' client programs, or take Postgres off "
                                                  "PATH: a wheel has them")
    return path


def run(what: str, argv: list, env: dict[str, str], remedy: str = "") -> None:
    """With a terminal the program shows its own progress there."""
    shows = sys.stderr.isatty()
    done = subprocess.run([*argv, *(["--progress"] if shows else [])], env=clean_env() | env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=None if shows else subprocess.PIPE)
    if done.returncode != 0:
        raise Failed(what, log=done.stdout + (done.stderr or ""), remedy=remedy)


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mib(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / (1 << 20):.0f} MiB"


class Clock:
    """How long the step took that is told next."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __str__(self) -> str:
        began, self.began = self.began, time.monotonic()
        return f"{self.began - began:.1f} s"


def take(state: State, postgres: Postgres, into: Path) -> Path:
    """Written aside and renamed at the end: a backup that is there is whole, and was checked."""
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    for leftover in into.glob(".new-*"):
        if not Path("/proc", leftover.name.rpartition("-")[2]).exists():  # its maker was killed
            shutil.rmtree(leftover, ignore_errors=True)
    name = time.strftime("shequn-%Y%m%dT%H%M%SZ", time.gmtime())
    new = into / f".new-{name}-{os.getpid()}"
    new.mkdir(mode=0o700)
    try:
        clock = Clock()
        # All schemas at one instant, the copy's end: its WAL comes along. No file of it is younger than the checkpoint.
        run("Postgres was not copied", [
            program(postgres.bin, "pg_basebackup"), "--pgdata", new / "postgres", "--checkpoint=fast", "--wal-method=stream",
            "--manifest-checksums=SHA256", f"--label={name}"], postgres.server(),
            remedy="a server that was started before there were backups: make down, make up")
        say(f"copied Postgres, {mib(new / 'postgres')} ({clock})")
        run("the copy is not what Postgres wrote", [program(postgres.bin, "pg_verifybackup"), new / "postgres"], {})
        secrets = new / "secrets"
        shutil.copytree(state.keys, secrets)
        shutil.copy(state.root / "secrets.json", secrets)
        write_json(new / ABOUT, {
            "format": FORMAT, "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "commit": commit(),
            "postgres": (new / "postgres/PG_VERSION").read_text().strip(), "size": mib(new / "postgres")})
        summed = [new / ABOUT, new / MANIFEST, *sorted(secrets.iterdir())]
        write(new / SUMS, "".join(f"{digest(path)}  {path.relative_to(new)}\n" for path in summed))
        for path in new.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        os.sync()
        say(f"every file is what Postgres wrote, its WAL reads to the end ({clock})")
        if (into / name).exists():
            raise Failed(f"{into / name} is there already", remedy="one backup a second is enough")
        new.rename(into / name)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    say(f"{into / name}\n  secrets/ opens it: whoever has both has everything. {RUNBOOK}")
    return into / name


def commit() -> str:
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPO, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


@dataclass(frozen=True)
class Backup:
    folder: Path
    secrets: Path

    def about(self) -> dict:
        about = read_json(self.folder / ABOUT)
        if not about:
            raise Failed(f"{self.folder} is no backup", remedy="name a folder that `make backup` has told")
        if about.get("format") != FORMAT:
            raise Failed(f"{self.folder} has format {about.get('format')}, this checkout reads {FORMAT}",
                         remedy=f"restore with commit {about.get('commit')}")
        return about

    def check(self, postgres_bin: Path) -> None:
        """Every file against what was written: ours by SHA256SUMS, Postgres' by its own manifest."""
        sums = self.folder / SUMS
        if not sums.is_file():
            raise Failed(f"{sums} is missing", remedy="take another copy of this backup, or an older one")
        for line in sums.read_text().splitlines():
            told, name = line.split("  ", 1)
            path = self.secrets / Path(name).name if name.startswith("secrets/") else self.folder / name
            if not path.is_file():
                raise Failed(f"{path} is missing", remedy="SECRETS=folder, if the secrets are kept apart")
            if digest(path) != told:
                raise Failed(f"{path} is not what was backed up", remedy="take another copy of this backup, or an older one")
        run(f"{self.folder} is damaged", [program(postgres_bin, "pg_verifybackup"), self.folder / "postgres"], {},
            remedy="take another copy of this backup, or an older one")

    def lay_out(self, aside: Path) -> None:
        shutil.copytree(self.folder / "postgres", aside / "postgres", ignore=shutil.ignore_patterns(Path(MANIFEST).name))
        shutil.copytree(self.secrets, aside / "keys", ignore=shutil.ignore_patterns("secrets.json"))
        shutil.copy(self.secrets / "secrets.json", aside)
        os.sync()


def known(folder: Path) -> str:
    return ", ".join(str(path.parent) for path in sorted(folder.glob(f"*/{ABOUT}"))) or f"none in {folder}"


def put_back(state: State, backup: Backup, postgres_bin: Path, running: Iterable[str], wipe: bool) -> None:
    """Refuses, checks and copies before anything of the target is touched; then one rename after the other."""
    about = backup.about()
    if running := list(running):
        raise Failed(f"the stack in {state.root} runs: {', '.join(running)}", remedy="make down (with the same STATE)")
    there = [name for name in ("postgres", "nats") if (state.root / name).exists()]
    if there and not wipe:
        raise Failed(f"{state.root} holds data: {', '.join(there)}",
                     remedy="WIPE=1 forgets it, its secrets and its streams; or STATE=another folder")
    major = version(postgres_bin)
    if about["postgres"] != major:
        raise Failed(f"the backup is of Postgres {about['postgres']}, here is {major}",
                     remedy="restore with the Postgres it is of, then pg_dump and pg_restore")
    clock = Clock()
    say(f"restoring {backup.folder.name}: as it was {about['ended']}, Postgres {about['postgres']}, {about['size']}")
    backup.check(postgres_bin)
    say(f"checksums hold ({clock})")
    for leftover in state.root.glob("restored-*"):
        shutil.rmtree(leftover, ignore_errors=True)  # of a killed restore; we hold the lock
    aside = Path(tempfile.mkdtemp(prefix="restored-", dir=state.root))
    backup.lay_out(aside)
    say(f"copied ({clock})")
    away = state.move_away(keep={"ports.json", "tls", aside.name})  # addresses, and how they are spoken to
    for name in ("keys", "secrets.json", "postgres"):  # data last: with it the restore is done
        (aside / name).rename(state.root / name)
    aside.rmdir()
    shutil.rmtree(away)
    if there:
        say(f"forgot what {state.root} held: {', '.join(there)}")
    say("data and secrets are in place; streams are created and filled from Postgres when the services run")


def version(postgres_bin: Path) -> str:
    told = subprocess.run([program(postgres_bin, "postgres"), "--version"], capture_output=True, text=True).stdout
    return told.split()[-1].partition(".")[0]
