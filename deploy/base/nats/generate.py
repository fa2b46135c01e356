#!/usr/bin/env python3
"""nats.conf for Kubernetes, from the one table of edges: `generate.py` writes it, `generate.py --check` compares.

The template and the permissions are those of the local stack (deploy/dev). Only what a cluster has to choose differs:
the server's name is its pod's, passwords are variables that the StatefulSet takes from Secrets, and peers are named by
cluster.conf, which an overlay may replace.
"""

import json
import sys
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
DEV = HERE.parents[1] / "dev"
sys.path.insert(0, str(DEV))
sys.dont_write_bytecode = True
from bus import USERS, permissions  # noqa: E402

HEAD = "# Written by generate.py from deploy/dev/edges.toml and deploy/dev/nats.conf.in: change those.\n"
NAME = "server_name: shequn-dev\n"


def variable(user: str) -> str:
    return f"NATS_{user.upper()}"


def user_line(user: str) -> str:
    quoted = json.dumps({"user": user, "password": "@", **permissions(user)})
    # A variable stands outside of quotes; its value brings its own (see statefulset.yaml).
    return "    " + quoted.replace('"@"', f"${variable(user)}", 1)


def configuration() -> str:
    text = Template((DEV / "nats.conf.in").read_text()).substitute(
        listen="0.0.0.0:4222", http="0.0.0.0:8222", store="/data", users="\n".join(map(user_line, USERS)))
    without_remark = text.partition("\n")[2] if text.startswith("# stack.py") else text
    assert NAME in without_remark, f"deploy/dev/nats.conf.in has no {NAME!r}"
    return HEAD + without_remark.replace(NAME, "server_name: $NATS_SERVER\n") + "\ninclude cluster.conf\n"


def main() -> int:
    path = HERE / "nats.conf"
    if "--check" not in sys.argv[1:]:
        path.write_text(configuration())
        return 0
    if path.read_text() == configuration():
        return 0
    print(f"{path} is not what deploy/dev/edges.toml says\n  remedy: {Path(__file__)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
