"""Child processes that outlive us: started, recorded, recognised again, stopped."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from state import Failed, State, read_json, write_json

LOG_BYTES_MAX = 32 << 20
POLL_SECS = 0.02
ORPHAN_SECS = 3


@dataclass(frozen=True)
class Child:
    name: str
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    inputs: str = ""  # what else it was started from (its configuration); a change restarts it
    stop_signal: int = signal.SIGTERM
    stop_secs: float = 15

    def fingerprint(self) -> str:
        started_from = [self.argv, self.env, self.inputs, os.stat(self.argv[0]).st_mtime_ns]
        return hashlib.sha256(json.dumps(started_from).encode()).hexdigest()


def birth(pid: int) -> str | None:
    """When the process began: with its pid this names it for ever, so that a re-used pid is never ours."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"


def working_in(*folders: Path) -> list[tuple[int, Path, str]]:
    """Pid, working folder and program of every process at work in one of these folders, deleted or not."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            folder = Path(os.readlink(entry / "cwd").removesuffix(" (deleted)"))
            if folder in folders:
                program = os.readlink(entry / "exe").removesuffix(" (deleted)")
                found.append((int(entry.name), folder, Path(program).name))
        except OSError:
            continue  # gone meanwhile, or somebody else's
    return found


def memory_mib(pid: int) -> float:
    """Of the process and all below it; shared pages are counted once (proportional set size)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family, kib = [pid], 0
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
        try:
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
            kib += int(rollup.partition("\nPss:")[2].split()[0])
        except (OSError, IndexError):
            continue
    return kib / 1024


class Processes:
    """The children of one stack, one record in `run/` each."""

    def __init__(self, state: State):
        self.state = state

    def record_path(self, name: str) -> Path:
        return self.state.run / f"{name}.json"

    def log_path(self, name: str) -> Path:
        return self.state.log / f"{name}.log"

    def names(self) -> list[str]:
        """Of all recorded ones, dead or alive, the first started first."""
        return sorted((path.stem for path in self.state.run.glob("*.json")),
                      key=lambda name: read_json(self.record_path(name)).get("started", 0))

    def pid(self, name: str) -> int | None:
        record = read_json(self.record_path(name))
        return record["pid"] if record and birth(record["pid"]) == record["birth"] else None

    def ensure(self, child: Child) -> None:
        """Starts it unless it already runs from the same program, settings and configuration."""
        fingerprint = child.fingerprint()
        if self.pid(child.name) and read_json(self.record_path(child.name))["fingerprint"] == fingerprint:
            return
        self.stop([child.name])
        log = self.log_path(child.name)
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.old"))

        def record() -> None:  # by the child, before it becomes the program: no crash of ours can lose it
            write_json(self.record_path(child.name), {
                "pid": os.getpid(), "birth": birth(os.getpid()), "started": time.time(), "fingerprint": fingerprint,
                "stop_signal": int(child.stop_signal), "stop_secs": child.stop_secs, "log_from": out.tell()})

        with open(log, "ab") as out:
            # The parent does not wait: it ends soon and init inherits the child.
            subprocess.Popen(child.argv, env=os.environ | child.env, cwd=self.state.root, stdin=subprocess.DEVNULL,
                             stdout=out, stderr=out, umask=0o077, start_new_session=True, preexec_fn=record)

    def wait_ready(self, name: str, ready: Callable[[], bool], secs: float, remedy: str = "") -> None:
        deadline = time.monotonic() + secs
        # Alive first: on its port somebody else might answer that he is ready.
        while (alive := self.pid(name) is not None) and not ready() and time.monotonic() < deadline:
            time.sleep(POLL_SECS)
        if not alive or time.monotonic() >= deadline:
            raise Failed(f"{name} is not ready within {secs:g} s" if alive else f"{name} ended while it started",
                         log=self.log_path(name), log_from=read_json(self.record_path(name))["log_from"], remedy=remedy)

    def end(self, find: Callable[[], list[int]]) -> None:
        """Ends unrecorded processes, asking first."""
        deadline = time.monotonic() + ORPHAN_SECS
        for pid in find():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        while orphans := find():
            for pid in orphans if time.monotonic() > deadline else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_SECS)

    def stop(self, names: Iterable[str]) -> list[str]:
        """Asks all in the given order, waits for all, then insists; answers those that had to be killed."""
        names, asked, killed = list(names), time.monotonic(), []
        for name in names:
            if pid := self.pid(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, read_json(self.record_path(name))["stop_signal"])
        for name in names:
            record = read_json(self.record_path(name))
            while pid := self.pid(name):
                if time.monotonic() > asked + record["stop_secs"] and name not in killed:
                    killed.append(name)
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
                time.sleep(POLL_SECS)
            self.record_path(name).unlink(missing_ok=True)
        return killed
