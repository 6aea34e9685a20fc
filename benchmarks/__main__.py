"""Measure: `python -m benchmarks NAME [--quick] [options of that bench]`; without a name, list them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NOT_BENCHES = {
    "__init__",
    "__main__",
    "report",
    "browser",
    "prometheus",
    "anomaly_sets",
    "sql_probes",
    "suggest_tables",
    "suggest_trial",
}


def names() -> list[str]:
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in NOT_BENCHES)


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        for name in names():
            summary = (importlib.import_module(f"benchmarks.{name}").__doc__ or "").strip().splitlines()[0]
            print(f"  {name:10} {summary}")
        return 0
    name, *rest = arguments
    if name not in names():
        print(f"No benchmark named {name!r}; there are {', '.join(names())}.", file=sys.stderr)
        return 2
    quick = "--quick" in rest
    for figure in importlib.import_module(f"benchmarks.{name}").run(quick, [a for a in rest if a != "--quick"]):
        print(figure.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
