"""The service's own statements for caps and receipts, word for word, with names in the place of `$1`, `$2`…"""

import json
import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
OFFLINE = REPO / "services" / "broadcast" / ".sqlx"
INSERT = re.compile(r"insert into (?P<table>\w+) \((?P<columns>[^)]*)\) select (?P<values>.*?) from "
                    r"unnest\((?P<arrays>[^)]*)\) as (?P<alias>\w+)(?: \((?P<names>[^)]*)\))?")


def statement(table: str, given: dict[str, str]) -> dict:
    """The one that inserts rows of a job into the table and wants nothing but what is given, by column."""
    found = []
    for path in sorted(OFFLINE.glob("*.json")):
        text = json.loads(path.read_text())["query"]
        names = parameters(text, table)
        if names and all(name in given for name in names):
            values = [given[name] for name in names]
            found.append({"name": table, "text": text, "values": values})
    if len(found) != 1:
        raise RuntimeError(f"{len(found)} statements of broadcast insert a job's rows into {table}, not one: it has "
                           "changed; tell statements.py what its parameters are")
    return found[0]


def parameters(text: str, table: str) -> list[str | None]:
    """The column that each parameter is for, None where it can't be read off; nothing for another statement."""
    insert = INSERT.search(" ".join(text.split()))
    if not insert or insert["table"] != table:
        return []
    columns = zip(split(insert["columns"]), split(insert["values"]))
    arrays = zip(split(insert["names"] or insert["alias"]), split(insert["arrays"]))
    places = {value.split("::")[0]: name for name, value in [*columns, *arrays]}
    count = max(map(int, re.findall(r"\$(\d+)", text)))
    return [places.get(f"${n}") for n in range(1, count + 1)]


def split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]
