"""All that was measured, and how it is kept in a file."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import NamedTuple

from accuracy.defects import Defect, Seen
from accuracy.measure import Agreement, Measured, Row, Worst

__all__ = ["Sheet", "as_json", "from_json"]


class Sheet(NamedTuple):
    """All that is reported: on what, and how, it was measured; the errors; the defects of peers."""

    facts: dict[str, str]
    measured: Measured
    seen: Sequence[Seen]

    @property
    def results(self) -> int:
        """How many numbers were compared with exact ones."""
        return sum(worst.measured for cells in self.measured.rows.values() for worst in cells.values())


def as_json(sheet: Sheet) -> str:
    """Write it for programs."""
    facts, measured, seen = sheet
    record = {
        "facts": facts,
        "rows": [
            {**row._asdict(), "contestants": {name: asdict(worst) for name, worst in cells.items()}}
            for row, cells in measured.rows.items()
        ],
        "parity": [{"of": key, **asdict(found)} for key, found in measured.parity.items()],
        "refusals": [{"of": key, "said": said} for key, said in measured.refusals.items()],
        "defects": [{**each._asdict(), "defect": each.defect._asdict()} for each in seen],
    }
    return json.dumps(record, indent=1) + "\n"


def from_json(texts: Iterable[str]) -> Sheet:
    """Read what `as_json` wrote, in one run or, a dtype at a time, in several."""
    facts: dict[str, str] = {}
    measured, seen = Measured(), dict[Seen, None]()
    for record in map(json.loads, texts):
        facts = record["facts"]
        for row in record["rows"]:
            cells = {name: Worst(**worst) for name, worst in row.pop("contestants").items()}
            measured.rows[Row(**row)] = cells
        for found in record["parity"]:
            key = tuple(found.pop("of"))
            measured.parity[key] = Agreement(**found)
        for refusal in record["refusals"]:
            measured.refusals[tuple(refusal["of"])] = refusal["said"]
        for each in record["defects"]:
            defect = each["defect"] | {"peers": tuple(each["defect"]["peers"])}
            seen[Seen(**(each | {"defect": Defect(**defect)}))] = None
    return Sheet(facts, measured, list(seen))
