#!/usr/bin/env python3
"""The alert rules as PrometheusRules, for the operator: `rules.py | kubectl -n <namespace> apply -f -`.

A rule file is the resource's `spec` as it stands, so each is put below one and nothing is written twice. Kustomize has no
way to do that: a patch must be a resource or a list of operations, and a rule file is neither.
"""

import sys
from pathlib import Path

ALERTS = Path(__file__).resolve().parent / "alerts"
HEAD = """\
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: shequn-{name}
  labels:
    app.kubernetes.io/name: shequn
    app.kubernetes.io/component: alerts
    app.kubernetes.io/part-of: shequn
    shequn.dev/team: platform
spec:
"""


def resource(path: Path) -> str:
    body = "".join(f"  {line}" if line.strip() else line for line in path.read_text().splitlines(keepends=True))
    return HEAD.format(name=path.stem) + body


def main() -> int:
    sys.stdout.writelines(resource(path) for path in sorted(ALERTS.glob("*.yaml")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
