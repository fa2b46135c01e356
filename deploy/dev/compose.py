"""The set in containers (deploy/compose.yaml): its settings, keys and ports as files, and the program that reads them."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

from bus import SERVICES, get
from services import process_names
from state import REPO, Failed, State, write

FILE = REPO / "deploy" / "compose.yaml"
IMAGES = REPO / ".shequn" / "images.env"  # from `make images ONLY=base`
READY_SECS = 60
OWNERS_OWN = ("SHEQUN_OWNER_DATABASE_URL", "SHEQUN_REVIEWER_PASSWORD")
# A setting that points at another process, and where that is among containers.
INSIDE = {"SHEQUN_DATABASE_URL": "postgres:5432", "SHEQUN_OWNER_DATABASE_URL": "postgres:5432",
          "SHEQUN_NATS_URL": "nats:4222", "SHEQUN_IDENTITY_URL": "identity:8080",
          "SHEQUN_CUSTOMERS_GRPC": "customers:9090", "SHEQUN_GROUPS_GRPC": "groups:9090"}


def folder(state: State) -> Path:
    return state.root / "compose"


def inside(name: str, value: str) -> str:
    if name not in INSIDE:
        return value
    url = urlsplit(value)
    login, at, _ = url.netloc.rpartition("@")
    return url._replace(netloc=f"{login}{at}{INSIDE[name]}").geturl()


def write_files(state: State, conf: Path) -> None:
    """From stack.json, which `configure` has written."""
    stack, secrets = (json.loads((state.root / name).read_text()) for name in ("stack.json", "secrets.json"))
    home = folder(state)
    # Containers run as other users, so the files are readable for all, and the folder is for its owner alone.
    home.mkdir(exist_ok=True, mode=0o700)

    def env(name: str, settings: dict[str, object]) -> None:
        write(home / f"{name}.env", "".join(f"{key}={value}\n" for key, value in settings.items()))

    ports = {"POSTGRES_PORT": stack["postgres"]["port"], "NATS_PORT": stack["nats"]["port"],
             "NATS_HTTP_PORT": urlsplit(stack["nats"]["http_url"]).port}
    for name, process in stack["processes"].items():
        service, prefix = process["service"], name.upper().replace("-", "_")
        ports |= {f"{prefix}_{at.upper()}_PORT": port for at, port in process["ports"].items()}
        settings = {key: inside(key, value) for key, value in process["env"].items() if not key.endswith("_LISTEN")}
        settings |= {"SHEQUN_SIGNING_KEY": f"/run/secrets/{service}-key", "SHEQUN_PEER_KEYS": "/run/secrets/peer-keys"}
        env(name, {key: value for key, value in settings.items() if key not in OWNERS_OWN})
        if name == service:
            env(f"{name}-owner", {"SHEQUN_OWNER_DATABASE_URL": settings["SHEQUN_OWNER_DATABASE_URL"]})
        if name == "identity":
            env("reviewer", {key: settings[key] for key in OWNERS_OWN})
    env("postgres", {"POSTGRES_PASSWORD": secrets["postgres"],
                     "POSTGRES_INITDB_ARGS": "--locale-provider=builtin --builtin-locale=C.UTF-8"})
    roles = {role.upper(): secrets[role] for service in SERVICES for role in (service, f"{service}_owner")}
    env("provision", {"PGHOST": "postgres", "PGDATABASE": "postgres", "PGUSER": "postgres",
                      "PGPASSWORD": secrets["postgres"], "PGCONNECT_TIMEOUT": 10, "PSQL_HISTORY": "/dev/null", **roles})
    env("compose", {"SHEQUN_COMPOSE": home, "COMPOSE_PROJECT_NAME": project(state), **ports, **images()})
    for source in (conf, *state.keys.glob("*.pem"), state.keys / "peer-keys.json"):
        write(home / source.name, source.read_text(), 0o644)


def images() -> dict[str, str]:
    """What was built here from packages stands in for the official images, unless the environment says otherwise."""
    built = IMAGES.read_text().splitlines() if IMAGES.exists() else []
    pairs = (line.removeprefix("export ").partition("=") for line in built)
    names = ("SHEQUN_REGISTRY", "SHEQUN_TAG", "SHEQUN_POSTGRES_IMAGE", "SHEQUN_NATS_IMAGE")
    return {name: value for name, _, value in pairs} | {name: os.environ[name] for name in names if name in os.environ}


def project(state: State) -> str:
    """One for each state folder, so that two checkouts don't share containers."""
    return f"shequn-{hashlib.sha256(str(state.root).encode()).hexdigest()[:8]}"


def program() -> list[str]:
    """The plugin, or Debian's docker-compose."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    if old := shutil.which("docker-compose"):
        return [old]
    raise Failed("neither `docker compose` nor docker-compose is here", remedy="apt-get install docker-compose")


def run(state: State, *arguments: str) -> int:
    if not shutil.which("docker"):
        raise Failed("`docker` is missing", remedy="install Docker, or use the local stack: stack.py up --services")
    settings = folder(state) / "compose.env"
    if not settings.exists():
        raise Failed(f"no settings in {settings.parent}", remedy="stack.py compose up")
    return subprocess.run([*program(), "--env-file", settings, "--project-name", project(state), "--file", FILE,
                           *arguments], cwd=FILE.parent, env=clean_env()).returncode


def clean_env() -> dict[str, str]:
    """The file alone says ports and folders: what stands in a shell would win over it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SHEQUN_", "COMPOSE_"))}


def up(state: State) -> int:
    if code := run(state, "up", "--detach", "--remove-orphans"):
        return code
    processes = json.loads(state.stack_json.read_text())["processes"]
    deadline = time.monotonic() + READY_SECS
    for name, process in processes.items():
        while get(process["ports"]["ops"], "/health/ready")[0] != 200:
            if time.monotonic() > deadline:
                raise Failed(f"{name} is not ready after {READY_SECS} s", remedy=f"stack.py compose logs {name}")
            time.sleep(0.1)
    return 0


def status(state: State) -> int:
    """0 when all that should run does."""
    return 1 if not (folder(state) / "compose.env").exists() else run(state, "ps") or int(not runs(state))


def runs(state: State) -> bool:
    """Whether all that should run does."""
    told = subprocess.run(["docker", "ps", "--filter", f"label=com.docker.compose.project={project(state)}",
                           "--format", '{{.Label "com.docker.compose.service"}}'], capture_output=True, text=True)
    return {"postgres", "nats", *process_names()} <= set(told.stdout.split())
