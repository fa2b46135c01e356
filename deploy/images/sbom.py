#!/usr/bin/env python3
"""What is linked into a service's program, as CycloneDX 1.6 in JSON: sbom.py <folder> <service>… writes <folder>/<service>.cdx.json.

The crates are those that `cargo build --workspace --bins` links for Linux, with the features it unifies over the workspace:
neither tests' dependencies nor build scripts' nor procedural macros. Names and versions are `cargo tree`'s, licences the
crates' own, checksums Cargo.lock's. The same commit gives the same bytes.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
CARGO = os.environ.get("CARGO", "cargo")
SPEC = "1.6"
LINE = re.compile(r"(?P<depth>\d+)\|(?P<name>\S+) v(?P<version>\S+)(?: \([^)]*\))*\|(?P<features>[^ ]*)(?: \(\*\))?$")

Crate = tuple[str, str]  # name, version


def told(*command: str) -> str:
    return subprocess.run(command, cwd=REPO, check=True, capture_output=True, text=True).stdout


def target() -> str:
    return re.search(r"^host: (.*)$", told("rustc", "--version", "--verbose"), re.MULTILINE)[1]


def edges() -> dict[Crate, set[Crate]]:
    """Every crate of a program, and what it calls."""
    text = told(CARGO, "tree", "--locked", "--workspace", "--edges", "normal,no-proc-macro", "--target", target(),
                "--prefix", "depth", "--format", "|{p}|{f}")
    found, path = {}, []
    for line in filter(None, text.splitlines()):
        part = LINE.match(line)
        if not part:
            raise SystemExit(f"sbom: cargo tree said {line!r}")
        crate = (part["name"], part["version"])
        del path[int(part["depth"]):]
        found.setdefault(crate, set())
        if path:
            found[path[-1]].add(crate)
        path.append(crate)
    return found


def reached(edges: dict[Crate, set[Crate]], start: Crate) -> list[Crate]:
    seen, left = set(), [start]
    while left:
        crate = left.pop()
        if crate not in seen:
            seen.add(crate)
            left += edges[crate]
    return sorted(seen - {start})


class Source:
    """What Cargo knows of crates: licences, and checksums of those of a registry."""

    def __init__(self):
        metadata = json.loads(told(CARGO, "metadata", "--locked", "--format-version", "1", "--filter-platform", target()))
        lock = tomllib.loads((REPO / "Cargo.lock").read_text())
        self.licences = {(p["name"], p["version"]): p["license"] for p in metadata["packages"]}
        self.checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}

    def component(self, crate: Crate) -> dict:
        name, version = crate
        licence = self.licences[crate]
        if not licence:
            raise SystemExit(f"sbom: {name} {version} names no licence")
        component = {
            "type": "library", "bom-ref": self.purl(crate), "name": name, "version": version, "scope": "required",
            # Old manifests write "/" for "or".
            "licenses": [{"expression": re.sub(r"\s*/\s*", " OR ", licence), "acknowledgement": "declared"}],
            "purl": self.purl(crate),
        }
        if self.checksums[crate]:
            component["hashes"] = [{"alg": "SHA-256", "content": self.checksums[crate]}]
        return component

    def purl(self, crate: Crate) -> str:
        name, version = crate
        # Ours are in no registry.
        return f"pkg:{'cargo' if self.checksums[crate] else 'generic/shequn'}/{name}@{version}"


def toolchain() -> tuple[dict, list[dict]]:
    """The standard library, which is linked too, and what built the program."""
    rust, cargo = (told(tool, "--version").split()[1] for tool in ("rustc", CARGO))
    std = {
        "type": "library", "bom-ref": f"pkg:generic/rust-std@{rust}", "name": "rust-std", "version": rust, "scope": "required",
        "licenses": [{"expression": "MIT OR Apache-2.0", "acknowledgement": "declared"}],
        "purl": f"pkg:generic/rust-std@{rust}",
    }
    tools = [{"type": "application", "name": name, "version": version} for name, version in (("rustc", rust), ("cargo", cargo))]
    return std, tools


def document(service: str, edges: dict[Crate, set[Crate]], source: Source, epoch: int) -> dict:
    root = next(crate for crate in edges if crate[0] == service)
    crates = reached(edges, root)
    std, tools = toolchain()
    program = source.component(root) | {"type": "application"}
    depends = [{"ref": source.purl(crate), "dependsOn": sorted(map(source.purl, edges[crate]))} for crate in [root, *crates]]
    depends[0]["dependsOn"].append(std["bom-ref"])
    body = {
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": tools},
            "component": program,
        },
        "components": [*map(source.component, crates), std],
        "dependencies": depends,
    }
    # Its name is what it says.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(body, sort_keys=True))
    return {"bomFormat": "CycloneDX", "specVersion": SPEC, "serialNumber": f"urn:uuid:{serial}", "version": 1, **body}


def main() -> int:
    folder, *services = sys.argv[1:]
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or told("git", "log", "-1", "--format=%ct"))
    found, source = edges(), Source()
    for service in services:
        text = json.dumps(document(service, found, source, epoch), indent=1, ensure_ascii=False)
        (Path(folder) / f"{service}.cdx.json").write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
