"""The five services as this stack runs them: settings, start."""

import os
import subprocess
from pathlib import Path

import certificates
from bus import SERVICES, Bus, get
from postgres import Postgres
from processes import Child, Processes
from state import Failed, State

REVIEWER = "reviewer@shequn.local"
LISTENERS = ("http", "grpc", "ops")
READY_SECS = 30
ONE_SHOT_SECS = 120


def process_names() -> dict[str, str]:
    """Process name → service: one each, and the extra workers."""
    workers = {f"{name}-worker-{n + 1}": name
               for name, service in SERVICES.items() for n in range(service.get("workers", 0))}
    return {name: name for name in SERVICES} | workers


def port_names() -> dict[str, list[str]]:
    return {process: [f"{process}.{listener}" for listener in LISTENERS] for process in process_names()}


def environments(state: State, postgres: Postgres, bus: Bus, ports: dict[str, int],
                 secrets: dict[str, str]) -> dict[str, dict[str, str]]:
    """The settings of every process, and of `tail` and `admin` for whoever looks at the bus."""
    def user(name: str) -> dict[str, str]:
        return {"SHEQUN_NATS_URL": bus.url, "SHEQUN_NATS_USER": name, "SHEQUN_NATS_PASSWORD": bus.passwords[name]}

    scheme = "https" if state.tls.is_dir() else "http"
    keys_at = "identity.grpc" if state.tls.is_dir() else "identity.http"

    def process(name: str, service: str) -> dict[str, str]:
        settings = {
            "SHEQUN_DATABASE_URL": postgres.url(service, secrets[service]),
            "SHEQUN_OWNER_DATABASE_URL": postgres.url(f"{service}_owner", secrets[f"{service}_owner"]),
            **user(service),
            **{f"SHEQUN_{at.upper()}_LISTEN": f"127.0.0.1:{ports[f'{name}.{at}']}" for at in LISTENERS},
            "SHEQUN_SIGNING_KEY": str(state.keys / f"{service}.pem"),
            "SHEQUN_PEER_KEYS": str(state.keys / "peer-keys.json"),
            "SHEQUN_IDENTITY_URL": f"{scheme}://127.0.0.1:{ports[keys_at]}",
            **certificates.settings(state, service),
            "SHEQUN_DEV": "true"}
        for peer in SERVICES[service].get("calls", []):
            settings[f"SHEQUN_{peer.upper()}_GRPC"] = f"{scheme}://127.0.0.1:{ports[f'{peer}.grpc']}"
        if service == "broadcast":
            # On one machine a killed worker is soon known to be dead; nobody likes to watch half a minute of nothing.
            settings["SHEQUN_LEASE_SECS"] = "5"
        if service == "identity":
            settings["SHEQUN_REVIEWER_PASSWORD"] = secrets["reviewer"]
            settings["SHEQUN_KEY_SECRET"] = secrets["identity.key"]
        return settings

    return {name: process(name, service) for name, service in process_names().items()} | {
        name: user(name) for name in ("tail", "admin")}


def start(state: State, processes: Processes, build: Path, envs: dict[str, dict[str, str]]) -> None:
    programs = {service: build / SERVICES[service]["binary"] for service in SERVICES}
    if missing := [str(path) for path in programs.values() if not os.access(path, os.X_OK)]:
        raise Failed("\n  ".join(["these programs are missing:", *missing]),
                     remedy="cargo build, or name another --build-dir")
    for service, program in programs.items():
        once(state, f"{service}-migrate", [program, "migrate"], envs[service])
    for name, service in process_names().items():
        mode = ["serve"] if name == service else ["worker"]
        # The running process gets neither its owner's database role nor the reviewer's password.
        env = {key: value for key, value in envs[name].items()
               if key not in ("SHEQUN_OWNER_DATABASE_URL", "SHEQUN_REVIEWER_PASSWORD")}
        processes.ensure(Child(name, [str(programs[service]), *mode], env))
    for name in process_names():
        port = int(envs[name]["SHEQUN_OPS_LISTEN"].rpartition(":")[2])
        processes.wait_ready(name, lambda: get(port, "/health/ready")[0] == 200, READY_SECS)
    once(state, "reviewer", [programs["identity"], "reviewer", "add", "--email", REVIEWER], envs["identity"])


def once(state: State, name: str, argv: list, env: dict[str, str]) -> None:
    """A command that ends; its words go to a log of its own."""
    log = state.log / f"{name}.log"
    with open(log, "wb") as out:
        try:
            code = subprocess.run(argv, env=os.environ | env, cwd=state.root, stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=out, timeout=ONE_SHOT_SECS).returncode
        except subprocess.TimeoutExpired:
            code = f"no answer within {ONE_SHOT_SECS} s"
    if code != 0:
        raise Failed(f"`{' '.join(map(str, argv))}` failed ({code})", log=log)
