"""``python -m tests.conformance.run``: all cases, or some, as a table."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conformance import runner
from conformance.cases import load, load_expected
from support.kernels import House


def main() -> int:
    """Runs and prints; exit code 1 if a case is wrong or in error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], help="case name, or a part of it with a *; repeat it for more"
    )
    parser.add_argument("--area", action="append", default=[])
    parser.add_argument("-j", "--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--fork", action="store_true", help="fork our kernels from a warm template: quicker, less real"
    )
    parser.add_argument(
        "--extension", action="store_true", help="audit in a plain kernel with the extension loaded"
    )
    parser.add_argument(
        "--repeat-with", metavar="PYTHON", help="repeat with another Python that has all requirements (R13)"
    )
    parser.add_argument(
        "--plain-only", action="store_true", help="check the cases themselves with plain kernels"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="tell actions of passing cases too")
    arguments = parser.parse_args()
    cases = [
        case
        for case in load()
        if (not arguments.only or any(Path(case.name).match(o) for o in arguments.only))
        and (not arguments.area or case.area in arguments.area)
    ]
    if not cases:
        parser.error("no such case")
    began = time.monotonic()

    def done(outcome: runner.Outcome) -> None:
        if outcome.verdict != "pass" or outcome.details or arguments.verbose:
            print(runner.as_text(outcome), flush=True)

    with (
        House() as house,
        House(arguments.repeat_with or sys.executable) as second,
        tempfile.TemporaryDirectory(prefix="nbrc") as work,
    ):
        machine = runner.CaseRunner(
            house,
            Path(work).resolve(),
            fresh=not arguments.fork,
            plain_only=arguments.plain_only,
            extension=arguments.extension,
            second=second if arguments.repeat_with else None,
        )
        outcomes = asyncio.run(runner.run_all(cases, machine, arguments.jobs, done))
    if arguments.json:
        arguments.json.write_text(runner.dumped(outcomes), encoding="utf-8")
    print(f"\n{len(outcomes)} cases in {time.monotonic() - began:.0f} s")
    for verdict in runner.ORDER:
        names = [o.name for o in outcomes if o.verdict == verdict]
        if names:
            print(f"{verdict:12}{len(names):4}  {'' if verdict == 'pass' else ' '.join(names)}")
    if not arguments.extension:
        return 1 if any(o.verdict in ("wrong", "error") for o in outcomes) else 0
    expected = load_expected("extension_failures.yaml")
    wanted = {o.name: "needless" if o.name in expected else "pass" for o in outcomes}
    surprises = [o.name for o in outcomes if o.verdict != wanted[o.name]]
    print(f"not as extension_failures.yaml says: {' '.join(surprises) or 'none'}")
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(main())
