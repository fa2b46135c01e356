#!/usr/bin/env python3
"""Prints every Secret that the manifests refer to, and the public keys, as one List for `kubectl apply -f -`.

    make-secrets.py --namespace shequn-local --postgres-host postgres | kubectl apply -f -

The values are random, made once, and kept in `.shequn/kubernetes/<namespace>` (git-ignored), so that a second run prints
the same. Whoever has a vault takes the names and keys from here (`--names`) and the values from there.
"""

import argparse
import json
import sys
from pathlib import Path

DEV = Path(__file__).resolve().parents[1] / "dev"
sys.path.insert(0, str(DEV))
sys.dont_write_bytecode = True
import keys as signing  # noqa: E402
from bus import SERVICES  # noqa: E402
from postgres import DATABASE  # noqa: E402
from state import REPO, Failed, State  # noqa: E402

OPERATORS = ("tail", "admin", "route")
ROLES = [role for service in SERVICES for role in (service, f"{service}_owner")]
NAMES = ["postgres", "identity.key", *ROLES, *(f"nats.{user}" for user in (*SERVICES, *OPERATORS))]
LABELS = {"app.kubernetes.io/part-of": "shequn", "app.kubernetes.io/managed-by": "make-secrets.py"}


def thing(kind: str, name: str, namespace: str, data: dict[str, str], **more: str) -> dict:
    field = "data" if kind == "ConfigMap" else "stringData"
    return {"apiVersion": "v1", "kind": kind, **more, field: data,
            "metadata": {"name": name, "namespace": namespace, "labels": LABELS}}


class Nothing(dict):
    """Stands for values that nobody asks for."""
    def __missing__(self, _: str) -> str:
        return ""


def values(state: State) -> tuple[dict[str, str], dict[str, str]]:
    """Passwords by name and key files by name: made once, then read."""
    state.create()
    with state.lock():
        signing.make_keys(state)
        return state.secrets(NAMES), {path.name: path.read_text() for path in state.keys.iterdir()}


def items(known: dict[str, str], keys: dict[str, str], namespace: str, host: str, smtp_url: str | None) -> list[dict]:
    def url(role: str) -> str:
        return f"postgres://{role}:{known[role]}@{host}:5432/{DATABASE}"

    made = [
        thing("Secret", "postgres-superuser", namespace, {"username": "postgres", "password": known["postgres"]},
              type="kubernetes.io/basic-auth"),
        thing("Secret", "nats-operators", namespace, {f"{user}-password": known[f"nats.{user}"] for user in OPERATORS}),
        thing("ConfigMap", "peer-keys", namespace, {"peer-keys.json": keys["peer-keys.json"]})]
    for service, described in SERVICES.items():
        runtime = {"database-url": url(service), "database-password": known[service],
                   "nats-password": known[f"nats.{service}"],
                   "signing-key.pem": keys[f"{service}.pem"]}
        if service == "identity":
            runtime["key-secret"] = known["identity.key"]
        owner = f"{service}_owner"
        made += [thing("Secret", f"{described['binary']}-runtime", namespace, runtime),
                 thing("Secret", f"{described['binary']}-owner", namespace,
                       {"database-url": url(owner), "database-password": known[owner]})]
    if smtp_url is not None:  # the one value nobody can make up
        made.append(thing("Secret", "broadcast-mail", namespace, {"smtp-url": smtp_url}))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--postgres-host", default="postgres-rw", help="CloudNativePG: postgres-rw; local: postgres")
    parser.add_argument("--smtp-url-file", type=Path, help="holds the URL of the mail server, with its password")
    parser.add_argument("--state", type=Path, help="where the values are kept")
    parser.add_argument("--names", action="store_true", help="only names and keys, no values")
    arguments = parser.parse_args()
    state = State(arguments.state or REPO / ".shequn" / "kubernetes" / arguments.namespace)
    try:
        known, keys = (Nothing(), Nothing()) if arguments.names else values(state)
    except Failed as failure:
        print(f"secrets: {failure}", file=sys.stderr)
        return 1
    smtp_url = arguments.smtp_url_file.read_text().strip() if arguments.smtp_url_file else None
    if arguments.names:
        smtp_url = ""
    made = items(known, keys, arguments.namespace, arguments.postgres_host, smtp_url)
    if arguments.names:
        for one in made:
            print(one["kind"], one["metadata"]["name"], *(one.get("data") or one["stringData"]))
    else:
        json.dump({"apiVersion": "v1", "kind": "List", "items": made}, sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
