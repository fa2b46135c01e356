"""The stack's NATS server: permissions from edges.toml, configuration, start, proof that it syncs."""

import http.client
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from string import Template

from processes import Child, Processes
from state import Failed, State, write

HERE = Path(__file__).resolve().parent
READY_SECS = 30
EDGES = tomllib.loads((HERE / "edges.toml").read_text())
SERVICES: dict[str, dict] = EDGES["service"]
USERS = [*SERVICES, "tail", "admin"]


def get(port: int, path: str) -> tuple[int, bytes]:
    """A plain loopback request; status 0 when nobody answers. Not urllib: it obeys proxy settings."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def service_publishes(service: dict) -> list[str]:
    """Own events, own streams, own durables; nothing else.

    A durable is created through the subject that carries its one filter. Tried against the server (2.15.1): it refuses
    a body with another or no filter (10131), with several filters (10137), with another durable name (10017) or stream
    (10056). A pattern that ends in `.>` lets a service narrow the filter, never widen it.
    """
    subjects = ["$JS.API.INFO"]
    for stream, events in service["streams"].items():
        subjects += [events, *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("CREATE", "INFO"))]
    for durable, at in service.get("durables", {}).items():
        consumer = f"{at['stream']}.{durable}"
        subjects += [f"$JS.API.STREAM.INFO.{at['stream']}", f"$JS.API.CONSUMER.CREATE.{consumer}.{at['event']}.>",
                     f"$JS.API.CONSUMER.INFO.{consumer}", f"$JS.API.CONSUMER.MSG.NEXT.{consumer}",
                     f"$JS.ACK.{consumer}.>"]
    return list(dict.fromkeys(subjects))


def tail_publishes() -> dict[str, list[str]]:
    """Ephemeral consumers of any name but a durable's. Without a name in the subject (the legacy form) the body could
    name a durable and change it, so that form is not allowed: `make tail` names its consumers."""
    allow = ["$JS.API.INFO"]
    for stream in EDGES["tail"]["streams"]:
        allow += [f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.CONSUMER.CREATE.{stream}.>",
                  *(f"$JS.API.CONSUMER.{verb}.{stream}.*" for verb in ("INFO", "MSG.NEXT", "DELETE"))]
    deny = [f"$JS.API.CONSUMER.{what}"
            for service in SERVICES.values() for durable, at in service.get("durables", {}).items()
            for name in [f"{at['stream']}.{durable}"]
            for what in (f"CREATE.{name}", f"CREATE.{name}.>", f"MSG.NEXT.{name}", f"DELETE.{name}")]
    return {"allow": allow, "deny": deny}


def permissions(user: str) -> dict:
    if user == "admin":
        return {}
    publish = tail_publishes() if user == "tail" else {"allow": service_publishes(SERVICES[user])}
    return {"permissions": {"publish": publish, "subscribe": {"allow": [f"_INBOX.{user}.>"]}}}


@dataclass(frozen=True)
class Bus:
    state: State
    processes: Processes
    program: Path
    port: int
    http_port: int
    passwords: dict[str, str]

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def configure(self, listen: str, http: str, store: str) -> Path:
        """Writes nats.conf; the addresses and the folder are the server's own, wherever it stands."""
        users = [{"user": user, "password": self.passwords[user], **permissions(user)} for user in USERS]
        conf = Template((HERE / "nats.conf.in").read_text()).substitute(
            listen=listen, http=http, store=store, users="\n".join(f"    {json.dumps(user)}" for user in users))
        path = self.state.root / "nats.conf"
        write(path, conf)
        return path

    def start(self) -> None:
        path = self.configure(f"127.0.0.1:{self.port}", f"127.0.0.1:{self.http_port}", str(self.state.root / "nats"))
        argv = [str(self.program), "--config", str(path)]
        self.processes.ensure(Child("nats", argv, inputs=path.read_text()))
        self.processes.wait_ready("nats", lambda: get(self.http_port, "/healthz")[0] == 200, READY_SECS,
                                  remedy="if the store is beyond repair: stack.py down --wipe")
        self.assert_syncs()

    def assert_syncs(self) -> None:
        told = json.loads(get(self.http_port, "/varz")[1])["jetstream"]["config"]
        if told.get("sync_always") is not True:
            raise Failed(f"NATS does not sync before it acknowledges: {told}", remedy="see nats.conf.in, sync_interval")
