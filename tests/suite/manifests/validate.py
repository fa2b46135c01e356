#!/usr/bin/env python3
"""Holds manifests against Kubernetes' own schemas, strictly: YAML documents on standard input, an answer in JSON.

    {"documents": [… as JSON …], "findings": ["Deployment identity: …"], "unknown": ["Cluster postgres", …]}

`unknown` are kinds Kubernetes itself does not have; their fields are in fields.toml. The schemas lie in the wheel
kubernetes-validate, installed once into the checkout's tools folder; nothing is asked of a cluster or of the web.
"""

import functools
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy" / "dev"))
import tools  # noqa: E402
from state import Failed  # noqa: E402

WHEEL = "kubernetes-validate==1.37.0"
# The oldest that deploy/README.md promises, and the newest the wheel knows.
VERSIONS = ("1.30", "1.37")


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
        sys.path.insert(0, str(tools.folder(WHEEL)))
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
