#!/usr/bin/env python3
"""Holds manifests against Kubernetes' own schemas, strictly: YAML documents on standard input, an answer in JSON.

    {"documents": [… as JSON …], "findings": ["Deployment identity: …"], "unknown": ["Cluster postgres", …]}

`unknown` are kinds Kubernetes itself does not have; their fields are in fields.toml. The schemas lie in the wheel
kubernetes-validate, installed once into the checkout's tools folder; nothing is asked of a cluster or of the web.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy" / "dev"))
import tools  # noqa: E402
from state import Failed, locked  # noqa: E402

WHEEL = "kubernetes-validate==1.37.0"
# The oldest whose kubelet sleeps in a preStop hook, and the newest the wheel knows.
VERSIONS = ("1.30", "1.37")


def library() -> Path:
    """The installed wheel with what it needs. Its folder appears by one rename, so one that is there is whole."""
    home = tools.FOLDER / WHEEL.replace("==", "-")
    if home.exists():
        return home
    tools.FOLDER.mkdir(parents=True, exist_ok=True, mode=0o755)
    with locked(tools.FOLDER / ".lock"):
        if not home.exists():
            install(home)
    return home


def install(home: Path) -> None:
    print(f"installing {WHEEL} into {tools.FOLDER}", file=sys.stderr, flush=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=tools.FOLDER))
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-user", "--no-compile", "--no-input",
         "--only-binary=:all:", "--disable-pip-version-check", "--target", new, WHEEL],
        env=os.environ | {"PIP_REQUIRE_VIRTUALENV": "0"}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=tools.INSTALL_SECS_MAX)
    if pip.returncode != 0:
        shutil.rmtree(new)
        raise Failed(f"cannot install {WHEEL} with pip", log=pip.stdout + pip.stderr,
                     remedy="check the network and pip's index settings")
    new.chmod(0o755)
    new.rename(home)


def check(document: dict, validate) -> tuple[list[str], bool]:
    """Findings, and whether Kubernetes knows the kind."""
    from kubernetes_validate.utils import SchemaNotFoundError, ValidationError
    name = f"{document.get('kind')} {document.get('metadata', {}).get('name')}"
    findings = []
    for version in VERSIONS:
        try:
            validate(document, version, strict=True)
        except SchemaNotFoundError:
            return [], False
        except ValidationError as error:
            at = ".".join(map(str, error.path)) or "document"
            findings.append(f"{name}: {at}: {error.message[:300]} (Kubernetes {version})")
        except (KeyError, TypeError) as error:
            findings.append(f"{name}: is no Kubernetes object: {error!r}")
    return findings, True


def main() -> int:
    try:
        sys.path.insert(0, str(library()))
    except Failed as failure:
        print(f"validate: {failure}", file=sys.stderr)
        return 1
    import yaml
    from kubernetes_validate import utils
    # It reads its schemas anew for each document, and some have a megabyte.
    utils.schema_contents = functools.cache(utils.schema_contents)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = [document for document in yaml.load_all(sys.stdin, Loader=loader) if document]
    findings, unknown = [], []
    for document in documents:
        found, is_known = check(document, utils.validate)
        findings += found
        if not is_known:
            unknown.append(f"{document['kind']} {document['metadata']['name']}")
    json.dump({"documents": documents, "findings": findings, "unknown": unknown}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
