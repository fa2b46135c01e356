#!/usr/bin/env python3
"""`make skew BASE=<commit>`: this checkout's journeys with one service of it among peers of an older commit, and the
reverse. As in a rollout, this checkout migrates every schema first; README.md beside this says how to read the table."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()
REPO = HERE.parents[2]
sys.path.append(str(REPO / "deploy/dev"))
from bus import SERVICES  # noqa: E402: the table of edges names the services and their programs

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target")).absolute()
STATE = REPO / ".shequn/skew"
WORKSPACE = ("--workspace", "--features", "failpoints")
JOURNEYS = "binary(suite) & test(/^journeys::/)"
HELPERS = ("demo", "tail")  # programs of the suite, always this checkout's
PROGRAMS = {service: table["binary"] for service, table in SERVICES.items()}


class Failed(Exception):
    """What a person has to know, with the remedy."""


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPO, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def base_commit(name: str) -> str:
    usage = "usage: make skew BASE=<an older commit> [ONLY=\"groups broadcast\"]"
    if not name:
        raise Failed(f"BASE is not set\n  {usage}")
    try:
        commit = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except Failed:
        raise Failed(f"{name!r} is no commit of this repository\n  {usage}") from None
    if commit == git("rev-parse", "HEAD") and not git("status", "--porcelain"):
        raise Failed(f"{name} is what is checked out: nothing differs\n  {usage}")
    return commit


def chosen(names: str) -> list[str]:
    if unknown := set(names.split()) - set(PROGRAMS):
        raise Failed(f"ONLY names no service: {' '.join(sorted(unknown))}; there are {' '.join(PROGRAMS)}")
    return names.split() or list(PROGRAMS)


def check_out(commit: str, home: Path) -> Path:
    """The commit's files, whole or not there: not a git worktree, which `rm -r target` would leave registered."""
    tree = home / "tree"
    if not tree.exists():
        new = home / "tree.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        archive = subprocess.Popen(["git", "archive", commit], cwd=REPO, stdout=subprocess.PIPE)
        subprocess.run(["tar", "--extract", "--directory", new], stdin=archive.stdout, check=True)
        if archive.wait() != 0:
            raise Failed(f"git archive {commit} failed")
        new.rename(tree)
    return tree


def lend_dependencies(home: Path) -> None:
    """Links what cargo built of the registry's crates here into the old commit's folder, where they are the same. Not
    our own: cargo names them alike in both, and would write into this checkout's."""
    theirs = home / "target/debug"
    if theirs.exists() or not (TARGET / "debug/.fingerprint").exists():
        return
    told = subprocess.run(["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"], cwd=REPO,
                          capture_output=True, text=True, check=True).stdout
    packages = json.loads(told)["packages"]
    ours = {name.replace("-", "_") for package in packages
            for name in (package["name"], *(target["name"] for target in package["targets"]))}
    for folder in (".fingerprint", "build", "deps"):
        for path in (TARGET / "debug" / folder).rglob("*"):
            first = path.relative_to(TARGET / "debug" / folder).parts[0]
            crate = first.partition(".")[0].rpartition("-")[0].replace("-", "_")
            if path.is_file() and not path.is_symlink() and not {crate, crate.removeprefix("lib")} & ours:
                at = theirs / path.relative_to(TARGET / "debug")
                at.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, at)


def build(what: str, tree: Path, target: Path, *more: list[str]) -> None:
    began = time.monotonic()
    for arguments in (["build", *WORKSPACE, "--bins"], *more):
        print(f"== cargo {' '.join(arguments)}, {what}", flush=True)
        if subprocess.run(["cargo", *arguments], cwd=tree, env=os.environ | {"CARGO_TARGET_DIR": str(target)}).returncode:
            raise Failed(f"{what} does not build")
    print(f"   {time.monotonic() - began:.0f} s", flush=True)


def mix(home: Path, name: str, old: set[str]) -> Path:
    """A folder of programs: some of the old commit, the others this checkout's. An old one's `migrate` is the new one's."""
    folder = home / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for program in HELPERS:
        (folder / program).symlink_to(TARGET / "debug" / program)
    for service, program in PROGRAMS.items():
        at, new = folder / program, TARGET / "debug" / program
        if service in old:
            at.write_text(f'#!/bin/sh\ncase "$1" in\nmigrate) exec "{new}" "$@" ;;\n'
                          f'*) exec "{home}/target/debug/{program}" "$@" ;;\nesac\n')
            at.chmod(0o755)
        else:
            at.symlink_to(new)
    return folder


def stack_down() -> None:
    subprocess.run([REPO / "deploy/dev/stack.py", "--state", STATE, "down", "--wipe"], check=True)


def journeys(home: Path, name: str, old: set[str]) -> dict[str, bool]:
    """Each journey and whether it passed."""
    log, began = home / f"{name}.log", time.monotonic()
    print(f"== {name} ", end="", flush=True)
    stack_down()
    env = os.environ | {"SHEQUN_PROGRAMS": str(mix(home, name, old)), "SHEQUN_TEST_STATE": str(STATE),
                        "NEXTEST_HIDE_PROGRESS_BAR": "1"}
    with open(log, "w") as out:
        subprocess.run(["cargo", "nextest", "run", *WORKSPACE, "--status-level", "all", "--color", "never",
                        "-E", JOURNEYS], cwd=REPO, env=env, stdout=out, stderr=out)
    told = log.read_text()
    results = {}
    for word, test in re.findall(r"^ +(PASS|FAIL|TIMEOUT|SIGABRT|LEAK) \[.*?\] .*?(journeys::\S+)", told, re.M):
        results[test] = word in ("PASS", "LEAK")
    if not results:
        raise Failed(f"no journey was run; the last lines of {log}:\n{told[-1500:]}")
    failed = [test for test, passed in results.items() if not passed]
    print(f"{len(results) - len(failed)} of {len(results)} in {time.monotonic() - began:.0f} s", flush=True)
    for test in failed:
        print(f"   failed: {test}, see {log}")
    return results


def cell(results: dict[str, bool], needs_new: set[str]) -> tuple[str, bool]:
    """What stands in the table, and whether it is right. A journey that fails with everything old wants what only this
    checkout does: that is no skew."""
    failed = {test for test, passed in results.items() if not passed}
    skewed = failed - needs_new
    text = f"{len(results) - len(failed)}/{len(results)}"
    if failed - skewed:
        text += f" ({len(failed - skewed)} as all old)"
    return text + (" SKEW" if skewed else ""), not skewed


def main() -> int:
    try:
        commit = base_commit(os.environ.get("BASE", ""))
        services = chosen(os.environ.get("ONLY", ""))
        ours = git("log", "-1", "--format=%h %s") + (" and what is not committed" if git("status", "--porcelain") else "")
        home = TARGET / "skew" / commit[:12]
        tree = check_out(commit, home)
        lend_dependencies(home)
        build("old", tree, home / "target")
        build("new", REPO, TARGET, ["nextest", "run", *WORKSPACE, "--no-run"])
        try:
            needs_new = {test for test, passed in journeys(home, "all-old", set(PROGRAMS)).items() if not passed}
            table = [(service, cell(journeys(home, f"new-{service}", set(PROGRAMS) - {service}), needs_new),
                      cell(journeys(home, f"old-{service}", {service}), needs_new)) for service in services]
        finally:
            stack_down()
    except Failed as failure:
        print(f"skew: {failure}", file=sys.stderr)
        return 2
    print(f"\nold: {git('log', '-1', '--format=%h %s', commit)}\nnew: {ours}\n")
    print(f"{'service':<12}{'new, its peers old':<28}{'old, its peers new':<28}")
    for service, (new, _), (old, _) in table:
        print(f"{service:<12}{new:<28}{old:<28}")
    if needs_new:
        print("\nwith everything old these journeys fail, too: " + ", ".join(sorted(needs_new)))
    return 0 if all(right for _, *cells in table for _, right in cells) else 1


if __name__ == "__main__":
    sys.exit(main())
