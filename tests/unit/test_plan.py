"""The repeat decision on states made by hand (R1, R2, R3, R7, R9, R15)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nbrewind.model import AmbientValue, Delta, FileState, Record, State, Trace, Version, Whole
from nbrewind.plan.algebra import apply_delta, component_of, reachable, replaceable, whole_of
from nbrewind.plan.match import choose, differences, holds


class World:
    """A start world in memory."""

    def __init__(self) -> None:
        self.files: dict[str, FileState] = {}
        self.variables: dict[str, str] = {}

    def file(self, path: str, *, content: bool) -> FileState:
        return self.files.get(path, FileState("absent"))

    def listing(self, path: str, files: dict[str, FileState]) -> str:
        return ",".join(sorted({*self.files, *files}))

    def package(self, name: str, recorded: str) -> bool:
        return recorded == "1.0"

    def variable(self, key: str) -> str:
        return self.variables.get(key, "absent")


def state(**digests: str) -> State:
    return State(names={name: Version(digest=digest, image=digest) for name, digest in digests.items()})


def linked(**digests: str) -> State:
    """A state whose names all share something."""
    names = {
        name: Version(
            digest=digest, image="one", links={peer: f"{name}~{peer}" for peer in digests if peer != name}
        )
        for name, digest in digests.items()
    }
    return State(names=names)


def record(name: str, trace: Trace) -> Record:
    return Record(id=name, source_key="k", source="", trace=trace, delta=Delta())


def test_reads_must_be_equal() -> None:
    trace = Trace(reads={"x": "1"})
    assert holds(trace, state(x="1", y="9"), World())
    assert differences(trace, state(x="2"), World()) == ["name:x"]
    assert differences(trace, State(), World()) == ["name:x"]


def test_absent_names_must_stay_absent() -> None:
    assert differences(Trace(absent=("len",)), state(len="1"), World()) == ["name:len is now defined"]


def test_links_between_names_read_must_be_equal() -> None:
    trace = Trace(reads={"a": "1", "b": "1"}, links=[("a", "b", "a~b")])
    assert holds(trace, linked(a="1", b="1"), World())
    assert differences(trace, state(a="1", b="1"), World()) == ["name:a and name:b are not shared any more"]
    apart = Trace(reads={"a": "1", "b": "1"})
    assert differences(apart, linked(a="1", b="1"), World()) == ["name:a and name:b are shared differently"]
    assert holds(Trace(reads={"a": "1"}), linked(a="1", b="1"), World())


def test_a_written_image_brings_all_of_it_back() -> None:
    trace = Trace(reads={"a": "1"}, whole={"a": Whole("1", {"b": "a~b"}), "b": Whole("2", {"a": "b~a"})})
    assert holds(trace, linked(a="1", b="2"), World())
    assert not holds(trace, linked(a="1", b="3"), World())
    assert not holds(trace, linked(a="1", b="2", c="4"), World())


def test_a_class_that_is_in_use_is_not_made_again() -> None:
    root = "cls:0#K"
    trace = Trace(identities={root: False}, replaced=("K",))
    names = {root: Version(digest="c"), "K": Version(digest="k", deps=(root,))}
    assert holds(trace, State(), World())
    assert holds(trace, State(names=names), World()), "only the name that the cell binds again uses it"
    used = State(names={**names, "y": Version(digest="y", deps=(root,))})
    assert differences(trace, used, World()) == ["class:K is made again"]
    second = Trace(identities={root: True}, replaced=("K",))
    assert holds(second, used, World())
    assert differences(second, State(), World()) == ["class:K is made for the first time"]


def test_files_and_variables_come_from_the_state_then_from_the_start_world() -> None:
    world = World()
    world.files["a"] = FileState("file", "1", 1)
    trace = Trace(files={"a": FileState("file", "1", 1)}, ambient={"env:E": "absent"})
    assert holds(trace, State(), world)
    written = State(files={"a": FileState("file", "2", 1)})
    assert differences(trace, written, world) == ["file:a"]
    world.variables["env:E"] = "x"
    assert differences(trace, State(), world) == ["env:E"]
    assert holds(trace, State(ambient={"env:E": AmbientValue("absent")}), world)


def test_an_item_of_a_package_matters_to_its_users_only() -> None:
    changed = State(ambient={"pandas.options": AmbientValue("d")})
    assert holds(Trace(), changed, World())
    assert differences(Trace(reads={"lib:pandas": ""}), changed, World()) == ["pandas.options"]
    assert differences(Trace(), State(ambient={"cwd": AmbientValue("d")}), World()) == ["cwd"]


def test_packages_are_compared_by_the_rule() -> None:
    assert holds(Trace(packages={"numpy": "1.0"}), State(), World())
    assert differences(Trace(packages={"numpy": "2.0"}), State(), World()) == [
        "package:numpy (recorded with 2.0)"
    ]


def test_the_branch_wins_and_the_nearest_miss_is_told() -> None:
    newest, older = record("new", Trace(reads={"x": "1"})), record("old", Trace(reads={"x": "1"}))
    assert choose([newest, older], state(x="1"), World())[0] is newest
    assert choose([newest, older], state(x="1"), World(), branch=frozenset({"old"}))[0] is older
    far = record("far", Trace(reads={"x": "3", "y": "3"}))
    assert choose([far, older], state(x="2"), World()) == (None, ["name:x"], older)
    assert choose([], State(), World()) == (None, ["source"], None)


NAMES = st.sampled_from("abcdef")
STATES = st.dictionaries(NAMES, st.text("01", min_size=1, max_size=2), max_size=5).map(lambda d: linked(**d))


@given(STATES, st.dictionaries(NAMES, st.text("01", min_size=1, max_size=2)), st.sets(NAMES))
def test_a_delta_leaves_no_link_to_what_it_replaced(
    before: State, written: dict[str, str], deleted: set[str]
) -> None:
    gone = deleted - set(written)
    delta = Delta(names={n: Version(digest=d, image=d) for n, d in written.items()}, deleted=tuple(gone))
    after = apply_delta(before, delta, 1)
    assert set(after.names) == (set(before.names) | set(written)) - gone
    for name, version in after.names.items():
        assert all(name in after.names[peer].links for peer in version.links)
        assert not set(version.links) & (gone | set(written))
    untouched = set(before.names) - set(written) - gone
    assert all(after.names[n].digest == before.names[n].digest for n in untouched)


@given(STATES)
def test_the_same_delta_twice_is_once(before: State) -> None:
    delta = Delta(names={"a": Version(digest="x", image="x")}, deleted=("b",))
    once = apply_delta(before, delta, 1)
    assert apply_delta(once, delta, 1) == once


@given(STATES, NAMES)
def test_a_component_is_all_that_is_linked(before: State, name: str) -> None:
    expected = set(before.names) if name in before.names else set()
    assert component_of(before, [name]) == expected


def test_what_only_a_deleted_name_reached_is_garbage() -> None:
    root = "cls:0#K"
    one = State(names={root: Version(digest="c"), "k": Version(digest="k", deps=(root,))})
    assert root in reachable(one)
    assert root not in reachable(one, {"k"})
    again = replace(one.names["k"], deps=())
    assert root not in reachable(State(names={**one.names, "k": again}))


def test_garbage_of_one_history_may_be_in_use_in_another() -> None:
    root = "cls:1#C"
    delta = Delta(deleted=(root,))
    unused = State(names={root: Version("c", "c")})
    assert root not in apply_delta(unused, delta, 1).names
    used = State(names={root: Version("c", "c"), "C": Version("n", "n", deps=(root,))})
    assert root in apply_delta(used, delta, 1).names
    replaced = Delta(names={"C": Version("m", "m")}, deleted=(root,))
    assert root not in apply_delta(used, replaced, 1).names


def test_a_replaced_value_is_needed_whole_with_the_results_that_share_it() -> None:
    shared = {"_3": "a~_3", "b": "a~b"}
    names = {
        "a": Version("1", "one", links=shared),
        "b": Version("2", "one", links={"a": "b~a"}),
        "_3": Version("3", "one", links={"a": "_3~a"}),
        "c": Version("4", "two"),
    }
    before = State(names=names, results=(3,))
    assert whole_of(before, ["a", "absent"]) == {
        "a": Whole("1", {"_-1": "a~_3", "b": "a~b"}),
        "_-1": Whole("3", {"a": "_3~a"}),
    }
    trace = Trace(reads={"a": "1"}, whole=whole_of(state(a="1"), ["a"]))
    assert holds(trace, state(a="1", b="2"), World())
    assert differences(trace, linked(a="1", b="2"), World()) == ["name:a is shared differently"]


def test_of_roots_that_share_all_are_replaced_or_none() -> None:
    sharing = linked(a="1", b="2", c="3")
    everything = {"a", "b", "c"}
    assert replaceable(sharing, everything, set(), set()) == everything
    assert replaceable(sharing, everything, {"a", "b"}, set()) == everything
    assert replaceable(sharing, everything, {"a"}, {"a"}) == set()
    assert replaceable(sharing, {"b", "c"}, {"a"}, set()) == set()
    assert replaceable(sharing, everything, everything, set()) == set()
    assert replaceable(state(a="1", b="2"), {"a", "b"}, {"a"}, {"a"}) == {"b"}
