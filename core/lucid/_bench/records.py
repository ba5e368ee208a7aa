"""What is known of a measurement: its machine, its plan, who was absent, and a result for each row."""

import json
from pathlib import Path
from typing import Any

__all__ = ["Record", "Result", "as_json", "read"]

Result = dict[str, Any]
Record = dict[str, Any]


def as_json(record: Record) -> str:
    """Write a record with a line for each row."""
    rest = {name: value for name, value in record.items() if name != "results"}
    rows = ",\n".join(json.dumps(result) for result in record["results"])
    return json.dumps(rest).removesuffix("}") + f', "results": [\n{rows}\n]}}\n'


def read(path: Path) -> Record:
    """Read what was measured before."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _ = record["machine"], record["plan"], record["absent"], record["results"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not what lucid bench --json writes ({error!r})") from None
    return dict(record)
