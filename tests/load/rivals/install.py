#!/usr/bin/env python3
"""Installs what `make bench-rivals` compares with below `.shequn/rivals`, exactly as pinned beside this, and prints the
folder. Nothing global is touched; Redis is taken from PATH or out of Debian's packages."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "deploy" / "dev"))
from state import HOME, Failed, locked  # noqa: E402

PINS = ("package.json", "package-lock.json", "requirements.txt")
# The server's program lies in redis-tools; the rest is what a bare Debian 12 lacks of its libraries.
REDIS_PACKAGES = ("redis-server", "redis-tools", "libatomic1", "libjemalloc2", "liblzf1")
SECS_MAX = 600


def folder() -> Path:
    """Another one for other pins; whole once it holds its mark."""
    pins = b"".join((HERE / name).read_bytes() for name in PINS)
    home = HOME / "rivals" / hashlib.sha256(pins).hexdigest()[:12]
    home.mkdir(parents=True, exist_ok=True)
    with locked(home.parent / "lock"):
        if not (home / "whole").exists():
            for step in (node, python, redis):
                print(f"rivals: installing {step.__doc__}", file=sys.stderr, flush=True)
                step(home)
            (home / "whole").touch()
    return home


def run(*argv: object, cwd: Path, remedy: str) -> None:
    try:
        done = subprocess.run(list(map(str, argv)), cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=SECS_MAX, env=os.environ | {"PIP_REQUIRE_VIRTUALENV": "0"})
    except FileNotFoundError:
        raise Failed(f"{argv[0]} is missing", remedy=remedy) from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{argv[0]} took longer than {SECS_MAX} s", remedy=remedy) from None
    if done.returncode != 0:
        raise Failed(f"`{' '.join(map(str, argv))}` failed", log=done.stdout + done.stderr, remedy=remedy)


def node(home: Path) -> None:
    """graphile-worker and BullMQ from npm"""
    for name in PINS[:2]:
        shutil.copy(HERE / name, home)
    # `npm ci` wants other systems' builds of an optional package in the lock file, too, which some mirrors lack.
    run("npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", cwd=home,
        remedy="install Node.js >= 20.18.1 with npm; check npm's registry setting")


def python(home: Path) -> None:
    """Celery from PyPI"""
    shutil.rmtree(home / "venv", ignore_errors=True)
    run(sys.executable, "-m", "venv", home / "venv", cwd=home, remedy="apt-get install python3-venv")
    run(home / "venv/bin/python", "-m", "pip", "install", "--require-hashes", "--only-binary=:all:", "--no-input",
        "--disable-pip-version-check", "--requirement", HERE / PINS[2], cwd=home,
        remedy="the hashes are those of Python 3.11's wheels; check the network and pip's index settings")


def redis(home: Path) -> None:
    """Redis from PATH or Debian"""
    if shutil.which("redis-server"):
        return
    packages = home / "debian"
    shutil.rmtree(packages, ignore_errors=True)
    packages.mkdir()
    remedy = "apt-get update, or apt-get install redis-server"
    run("apt-get", "download", *REDIS_PACKAGES, cwd=packages, remedy=remedy)
    for package in packages.glob("*.deb"):
        run("dpkg", "--extract", package, home / "redis", cwd=packages, remedy=remedy)
    shutil.rmtree(packages)


def main() -> int:
    try:
        print(folder())
    except Failed as failure:
        print(f"rivals: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
