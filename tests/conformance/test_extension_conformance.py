"""Some conformance cases audited in a plain kernel with the extension; all of them: ``run.py --extension``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance import runner
from conformance.cases import load, load_expected
from support.kernels import House

pytestmark = [pytest.mark.real_kernel]

CASES = {case.name: case for case in load()}
EXPECTED = load_expected("extension_failures.yaml")
SOME = (
    "alias_in_container mutation_through_function function_reads_global closure_shared_cell class_method_global "
    "class_redefined_old_instance eval_string negative_read_builtin_shadow wildcard_read_dir file_chain "
    "shell_reads_python_var exception_depends_on_input tasks_dag_cutoff under_shift gen_chain"
)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.mark.parametrize("name", SOME.split())
def test_case(house: House, tmp_path: Path, name: str) -> None:
    machine = runner.CaseRunner(house, tmp_path.resolve(), fresh=False, extension=True)
    outcome = asyncio.run(machine.run(CASES[name]))
    assert outcome.verdict == ("needless" if name in EXPECTED else "pass"), runner.as_text(outcome)


def test_expected_failures_name_cases() -> None:
    assert set(EXPECTED) <= set(CASES)
    assert all(reason.strip() for reason in EXPECTED.values())
