"""`make bench-rivals`: the same mass message sent by graphile-worker, BullMQ and Celery, round by round beside our own.
README.md says what is compared; run.sh calls this with the folder that install.py printed."""

import contextlib
import functools
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import celery
from statements import REPO
from world import PROGRAMS, Line, World, succeed

HERE = Path(__file__).resolve().parent
FIGURES = REPO / "target" / "bench.jsonl"
OURS = "broadcast_webhook_per_s"
CHUNK_RECIPIENTS = 500
RUN_SECS_MAX = 300
ROUNDS = int(os.environ.get("ROUNDS", "5"))
USUAL = 60_000  # as `load` has them
RECIPIENTS = int(os.environ.get("RECIPIENTS", USUAL))
ONLY = os.environ.get("ONLY", "")


@dataclass(frozen=True)
class Setting:
    """How much at once: processes, jobs in each, calls in each job."""
    processes: int
    jobs: int
    calls: int = 1


@dataclass(frozen=True)
class Rival:
    name: str
    program: str
    per_job: int
    # Of RECIPIENTS: each round takes seconds, whoever runs.
    share: float
    # The best of these in a short run is kept.
    sweep: tuple[Setting, ...]

    @property
    def recipients(self) -> int:
        return max(int(RECIPIENTS * self.share), 100)


SMALL = tuple(Setting(*each) for each in ((2, 8), (2, 24), (2, 48), (1, 48)))
LARGE = tuple(Setting(*each) for each in ((2, 2, 16), (2, 3, 24), (2, 4, 8), (1, 6, 16)))
OUR_SWEEP = tuple(Setting(*each) for each in ((2, 2), (4, 1), (6, 1), (8, 1)))  # a worker has 50 calls under way
FORKS = tuple(Setting(1, jobs) for jobs in (4, 8, 16))
RIVALS = (
    Rival("rival_graphile_job", "graphile.js", 1, 1 / 4, SMALL),
    Rival("rival_graphile_chunk", "graphile.js", CHUNK_RECIPIENTS, 1, LARGE),
    Rival("rival_bullmq_job", "bullmq.js", 1, 1 / 4, SMALL),
    Rival("rival_bullmq_chunk", "bullmq.js", CHUNK_RECIPIENTS, 1, LARGE),
    Rival("rival_celery_job", "celery_rival.py", 1, 1 / 20, FORKS),
    Rival("rival_celery_chunk", "celery_rival.py", CHUNK_RECIPIENTS, 1 / 3, FORKS),
)


def measure(world: World, rival: Rival, setting: Setting, recipients: int) -> float:
    """Recipients per second, from the first job that is enqueued to the last receipt. The same processes did at least a
    tenth as many before, as our workers did their warm-up."""
    warm_jobs = max(math.ceil(recipients / rival.per_job / 10), setting.processes * setting.jobs)
    warm = warm_jobs * rival.per_job
    job = world.prepare(warm + recipients, rival.per_job)
    env = {"RIVAL": json.dumps(world.config(job, setting.jobs, setting.calls)),
           "NODE_PATH": str(world.home / "node_modules"), "PYTHONWARNINGS": "ignore"}
    runner = sys.executable if rival.program.endswith(".py") else "node"
    with contextlib.ExitStack() as ends:
        def start(role: str) -> Line:
            line = Line([runner, str(HERE / rival.program), role], world.logs / f"{rival.name}.log", env)
            ends.callback(line.child.kill)
            return line

        def send(jobs: int, until: int) -> float:
            began = time.monotonic()
            enqueuer.say(str(jobs))
            world.wait(lambda: world.tally(job)[0] >= until, RUN_SECS_MAX, f"{rival.name} called everybody")
            world.wait(lambda: world.ended(job) >= until, RUN_SECS_MAX, f"{rival.name} wrote every receipt")
            return time.monotonic() - began

        enqueuer = start("enqueue")  # first: it makes what the queue keeps its jobs in
        enqueuer.ready()
        workers = [start("worker") for _ in range(setting.processes)]
        for worker in workers:
            worker.ready()
        send(warm_jobs, warm)
        world.settle()
        secs = send(math.ceil(recipients / rival.per_job), warm + recipients)
        for line in (enqueuer, *workers):
            line.end()
    world.check(job)
    return recipients / secs


def ours(setting: Setting) -> float:
    """The same figure as `make bench`, of one round, on a stack of its own."""
    before = FIGURES.stat().st_size if FIGURES.exists() else 0
    succeed(PROGRAMS / "load", "--rounds", "1", "--recipients", max(1, RECIPIENTS * 100 // USUAL),
            "--workers", setting.processes, OURS, env={"SHEQUN_WORKER_CHUNKS_MAX": str(setting.jobs)})
    with open(FIGURES, "r+") as figures:
        figures.seek(before)
        line = json.loads(figures.readlines()[-1])
        figures.truncate(before)
    assert line["name"] == OURS
    return line["value"]


def sweep(name: str, settings: tuple[Setting, ...], rate_of: Callable[[Setting], float]) -> Setting:
    rates = {setting: rate_of(setting) for setting in settings}
    for setting, rate in rates.items():
        say(f"  {name} {setting}: {rate:.0f}/s")
    return max(rates, key=rates.get)


def record(found: dict[str, list[float]], machine: str) -> None:
    """A line each, in the place of those of the last run, and a table."""
    ours_per_s, theirs = statistics.median(found[OURS]), found.keys() - {OURS}
    lines = FIGURES.read_text().splitlines() if FIGURES.exists() else []
    kept = [line for line in lines if json.loads(line)["name"] not in theirs]
    say(f"\n{machine}\n{'figure':<28}{'per s':>10}{'least':>10}{'most':>10}{'ours ÷ it':>12}")
    for name, rates in found.items():
        value = statistics.median(rates)
        say(f"{name:<28}{value:>10.0f}{min(rates):>10.0f}{max(rates):>10.0f}{ours_per_s / value:>12.2f}")
        if name in theirs:
            kept.append(json.dumps({"name": name, "value": value, "unit": "1/s", "baseline": ours_per_s,
                                    "ratio": ours_per_s / value, "machine": machine}, ensure_ascii=False))
    FIGURES.write_text("".join(f"{line}\n" for line in kept))


def machine() -> str:
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in cpus if line.startswith("model name")), "unknown processor")
    return f"{len(os.sched_getaffinity(0))} × {model.strip()}"


def versions(world: World) -> str:
    npm = json.loads((HERE / "package.json").read_text())["dependencies"]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    postgres = world.database.info.parameter_status("server_version")
    return (f"graphile-worker {npm['graphile-worker']}, BullMQ {npm['bullmq']}, Node.js {node}, "
            f"Celery {celery.__version__}, Python {sys.version.split()[0]}, Redis {world.redis_version}, Postgres {postgres}")


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    chosen = [rival for rival in RIVALS if ONLY in rival.name]
    found = {OURS: [], **{rival.name: [] for rival in chosen}}
    with contextlib.ExitStack() as ends:
        world = World(ends, Path(sys.argv[1]))
        settings = {}
        say(f"{versions(world)}\n{RECIPIENTS} recipients, {ROUNDS} rounds; sweeping what is done at once")
        for rival in chosen:
            some = max(rival.recipients // 2, 100)
            settings[rival] = sweep(rival.name, rival.sweep, functools.partial(measure, world, rival, recipients=some))
        setting_of_ours = sweep(OURS, OUR_SWEEP, ours)
        for n in range(1, ROUNDS + 1):
            found[OURS].append(ours(setting_of_ours))
            for rival in chosen:
                found[rival.name].append(measure(world, rival, settings[rival], rival.recipients))
            say(f"round {n}: " + ", ".join(f"{name} {rates[-1]:.0f}/s" for name, rates in found.items()))
    say(f"{OURS}: {setting_of_ours}")
    for rival, setting in settings.items():
        say(f"{rival.name}: {rival.recipients} recipients, {setting}")
    record(found, machine())


if __name__ == "__main__":
    main()
