"""Garbage: what goes is what nothing leads to, and never under somebody who uses the store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbrewind.errors import StoreError
from nbrewind.model import Run, TaskEntry, Version
from nbrewind.store import Store, compact, lease
from nbrewind.store.check import examine
from nbrewind.store.gc import Limits, collect, survey
from store.conftest import commit, record
from support.stores import places, run_sql

MAGIC = b"image"


def inner(image: bytes) -> list[str]:
    return [part.decode() for part in image.split()[1:]]


def name(letter: str) -> str:
    """An id as real rows have them."""
    return letter.encode().hex() * 16


def hits(store: Store) -> set[str]:
    again = Store.open(store.path, readonly=True)
    found = {one.id for one in again.records("k")}
    again.close()
    return found


@pytest.fixture
def history(store: Store) -> dict[str, str]:
    """Three runs of one notebook and one of another, each with an image of its own; closed."""
    found = {}
    for number, (run, book) in enumerate((("a", "x"), ("b", "x"), ("c", "x"), ("d", "y"))):
        block = store.put(run.encode() * 10_000)
        found[run] = block
        image = store.put(MAGIC + b" " + block.encode())
        one = record(name(run), image)
        store.add_record(replace(one, created=100.0 * number, tasks=(f"task {run}",)))
        result = store.put(b"result " + run.encode())
        store.add_task(TaskEntry(key=f"task {run}", name=run, result=result, created=100.0 * number))
        head = f"c{run}"
        ended = Run(id=run, notebook=book, started=100.0 * number, ended=100.0 * number, head=head)
        store.start_run(ended)
        store.add_commit(commit(head, name(run), run=run))
    store.close()
    return found


def test_history_stays_unless_told_otherwise(store: Store, history: dict[str, str]) -> None:
    opened = Store.open(store.path)
    orphan = opened.put(b"named by nobody")
    opened.close()
    left = store.path / "objects" / f"incoming.{'0' * 32}.tmp"
    left.write_bytes(b"of a killed writer")
    found = survey(store.path, Limits(), MAGIC)
    assert (found.runs, found.commits, found.records, found.tasks) == ([], [], [], [])
    assert found.objects == [orphan] and found.leftovers == [left] and left.exists()
    collect(store.path, Limits(), MAGIC)
    assert not left.exists() and orphan not in places(store.path)
    assert not examine(store.path, inner).problems
    assert hits(store) == {name(run) for run in "abcd"}


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (Limits(before=150.0), "cd"),
        (Limits(before=100.0), "bcd"),
        (Limits(before=10_000.0), "cd"),
        (Limits(keep_bytes=0), "cd"),
        (Limits(keep_bytes=31_000), "bcd"),
        (Limits(keep_bytes=1 << 40), "abcd"),
    ],
)
def test_old_runs_go_and_the_newest_of_a_notebook_stays(
    store: Store, history: dict[str, str], limits: Limits, kept: str
) -> None:
    before = survey(store.path, limits, MAGIC)
    assert collect(store.path, limits, MAGIC) == before, "the dry run said so"
    there = places(store.path)
    assert {run for run, block in history.items() if block in there} == set(kept)
    assert hits(store) == {name(run) for run in kept}
    opened = Store.open(store.path, readonly=True)
    assert {run.id for run in opened.runs()} == set(kept)
    assert all(opened.path_to(f"c{run}") for run in kept)
    assert all(opened.complete(opened.record(name(run))) for run in kept)
    opened.close()
    assert not examine(store.path, inner).problems
    assert not survey(store.path, limits, MAGIC).objects, "nothing is left for a second time"


def test_a_record_that_a_kept_one_needs_to_recompute_stays(store: Store, history: dict[str, str]) -> None:
    opened = Store.open(store.path)
    chained = record(name("e"))
    names = {"g": Version(digest="d", opaque="a generator", chain=(name("a"),))}
    opened.add_record(replace(chained, delta=replace(chained.delta, names=names), created=1000.0))
    opened.add_commit(commit("ce", name("e"), run="e"))
    opened.start_run(Run(id="e", notebook="z", started=1000.0, head="ce"))
    opened.close()
    collect(store.path, Limits(before=10_000.0), MAGIC)
    assert hits(store) == {name(run) for run in "acde"}
    assert history["a"] in places(store.path)


def test_a_branch_keeps_the_commits_that_it_began_from(store: Store, history: dict[str, str]) -> None:
    opened = Store.open(store.path)
    opened.add_record(replace(record(name("e")), created=1000.0))
    opened.add_commit(commit("ce", name("e"), "ca", run="e"))
    opened.start_run(Run(id="e", notebook="x", started=1000.0, head="ce"))
    opened.close()
    collect(store.path, Limits(before=10_000.0), MAGIC)
    again = Store.open(store.path, readonly=True)
    assert [step.id for step in again.path_to("ce")] == ["ca", "ce"]
    again.close()


def test_what_a_living_process_relies_on_stays(store: Store, history: dict[str, str]) -> None:
    user = Store.open(store.path)
    fresh = user.put(MAGIC)  # no row names it yet
    user.flush()
    served = user.records("k")[-1]
    assert served.id == name("a") and user.complete(served)
    collect(store.path, Limits(before=10_000.0), MAGIC)
    assert hits(store) == {name(run) for run in "acd"}, "a is relied on, b is not"
    user.add_record(record(name("e"), fresh))
    user.add_commit(commit("ca2", name("a"), run="e"))
    user.start_run(Run(id="e", notebook="z", started=1000.0, head="ca2"))
    user.close()
    assert not user.failures
    collect(store.path, Limits(), MAGIC)
    assert not examine(store.path, inner).problems
    assert hits(store) == {name(run) for run in "acde"}


def test_a_dead_pack_that_somebody_reads_from_stays(store: Store, history: dict[str, str]) -> None:
    user = Store.open(store.path, readonly=True)
    assert user.has(history["a"])
    kept = collect(store.path, Limits(before=10_000.0), MAGIC)
    assert kept.runs and not kept.objects
    assert user.get(history["a"]) == b"a" * 10_000
    user.close()
    collect(store.path, Limits(), MAGIC)
    assert history["a"] not in places(store.path) and history["d"] in places(store.path)


def test_the_run_of_a_living_process_stays(store: Store, history: dict[str, str]) -> None:
    user = Store.open(store.path)
    user.update_run(user.run("a"))
    collect(store.path, Limits(before=10_000.0), MAGIC)
    user.close()
    assert hits(store) == {name(run) for run in "acd"}


def test_packs_shrink_to_what_lives_in_them(store: Store, history: dict[str, str]) -> None:
    before = [path.stat().st_size for path in (store.path / "packs").iterdir()]
    collect(store.path, Limits(before=10_000.0), MAGIC)
    after = [path.stat().st_size for path in (store.path / "packs").iterdir()]
    assert len(before) == len(after) == 1 and after[0] < before[0] - 19_000
    assert not examine(store.path, inner).problems


def test_without_locks_of_bytes_nothing_goes_under_a_user(
    store: Store, history: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_HAS_RANGES", False)
    user = Store.open(store.path)
    with pytest.raises(StoreError, match="in use"):
        collect(store.path, Limits(before=10_000.0), MAGIC)
    user.close()
    collect(store.path, Limits(before=10_000.0), MAGIC)
    assert hits(store) == {name(run) for run in "cd"}


def test_a_pack_of_a_killed_writer_goes(store: Store, history: dict[str, str]) -> None:
    stray = store.path / "packs" / ("0" * 32 + ".pack")
    stray.write_bytes(b"half")
    writing = Store.open(store.path)
    writing.put(b"new")
    writing.flush()
    assert collect(store.path, Limits(), MAGIC).leftovers == [stray]
    writing.add_record(record(name("f"), writing.put(b"more")))
    writing.close()
    assert not stray.exists() and not examine(store.path, inner).problems


def test_interrupted_after_the_rows_the_rest_goes_next_time(
    store: Store, history: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(compact, "copied", interrupt)
        collect(store.path, Limits(before=10_000.0), MAGIC)
    assert not examine(store.path, inner).problems
    collect(store.path, Limits(), MAGIC)
    there = places(store.path)
    assert {run for run, block in history.items() if block in there} == {"c", "d"}


def test_half_a_path_is_no_path(store: Store, history: dict[str, str]) -> None:
    opened = Store.open(store.path)
    opened.add_record(record("more"))
    opened.add_commit(commit("cm", "more", "ca", run="a"))
    opened.close()
    run_sql(store.path, "delete from commits where id = 'ca'")
    again = Store.open(store.path, readonly=True)
    assert again.path_to("cm") == []
    again.close()
