#!/usr/bin/env python3
"""Results for tmt from kab's exit status and its JUnit file: results.py STATUS DIR writes DIR/results.json.

The first result, "/", is that of the whole test and follows from the status alone. The others are those of cells and
metrics. Python's own library only: it runs where tmt's guest has nothing else.
"""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

# kab's exit status -> (tmt's result, what it means). Any other status: error.
MEANINGS = {
    0: ("pass", "no cell is worse"),
    1: ("fail", "slower or faulty"),
    125: ("warn", "cannot tell: not every cell was decided"),
}
# An element in a test case of JUnit -> tmt's result; "info" is a soft pass (kab's JUnit skips what is waived). Without
# one: pass.
OUTCOMES = {"error": "error", "failure": "fail", "skipped": "info"}
LOGS = ("report.txt", "report.html", "report.json", "junit.xml")
NOTE_CHARACTERS = 500


def main(status: int, folder: Path) -> None:
    """Write the results of a run that ended with `status` and left its reports in `folder`."""
    result, note = MEANINGS.get(status, ("error", f"nothing is said of the kernel (status {status})"))
    logs = [name for name in LOGS if (folder / name).is_file()]
    results = [{"name": "/", "result": result, "note": [note], "log": logs}]
    if "junit.xml" in logs:
        results += [of_case(case) for case in ElementTree.parse(folder / "junit.xml").iter("testcase")]
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")


def of_case(case: ElementTree.Element) -> dict[str, object]:
    """The result of a test case."""
    words = [case.get("classname", ""), case.get("name", "")]
    name = "/" + "/".join("_".join(word.split()).strip("/") for word in words if word)
    for kind, result in OUTCOMES.items():
        found = case.find(kind)
        if found is not None:
            note = found.get("message") or found.text or kind
            # JUnit has no word for what is not decided, and kab calls it an error of this type.
            if found.get("type") == "inconclusive":
                result = "warn"
            return {"name": name, "result": result, "note": [note[:NOTE_CHARACTERS]]}
    return {"name": name, "result": "pass"}


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
