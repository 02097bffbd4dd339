"""Which cells an edit can reach, by a static reckoning of our own that takes too many rather than too few."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

from fuzz.kernels import Cell

_EVERYTHING = re.compile(r"globals\(|locals\(|vars\(|import \*|\bIn\b|\bOut\b|(?<![\w.])_(?!\w)|__main__")
_THINGS = {
    "<files>": re.compile(r"open\(|read_|to_(csv|json|pickle)|np\.(save|load|memmap)|os\.(path|remove|rename|replace|mkdir|makedirs|listdir|walk|stat)|Path\(|glob|shutil|dump|made_mod|sqlite3|\bdb\b|ZipFile|config|tempfile|subprocess|logging|%%?(run|writefile|bash|autoreload)|!"),
    "<cwd>": re.compile(r"chdir|getcwd|%cd|open\(|os\.(path|remove|rename|mkdir|listdir)|Path\(|glob|read_|to_csv|save|load|!|subprocess|sqlite3|ZipFile|tempfile|pwd"),
    "<environment>": re.compile(r"environ|getenv|%env|get_ipython"),
    "<random>": re.compile(r"\brandom\."),
    "<helper>": re.compile(r"\bhelper\b|\bscale\b|\bsc\b|\bnote\b|\bTool\b"),
    "<decimal>": re.compile(r"\bdecimal\b"),
    "<precision>": re.compile(r"%precision|display|set_option|printoptions|\Z"),
}  # fmt: skip
"""What cells share without a name: words that tell that a cell uses or changes it."""
_SETTERS = re.compile(
    r"%precision|set_option|set_printoptions|simplefilter|setLevel|setrecursionlimit|sys\.path"
)


def mentions(source: str) -> set[str] | None:
    """Names and things that a cell may touch, None where that cannot be known."""
    if _EVERYTHING.search(source) or _SETTERS.search(source):
        return None
    found = {thing for thing, pattern in _THINGS.items() if thing != "<precision>" and pattern.search(source)}
    words = set(re.findall(r"[A-Za-z_]\w*", source))
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return found | words
    modules = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    if not all(isinstance(node, ast.Import) for node in tree.body):
        return (found | words) - modules - set(_LIBRARIES)
    return found


_LIBRARIES = [
    "np",
    "pd",
    "abc",
    "bisect",
    "collections",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "enum",
    "functools",
    "gc",
    "glob",
    "importlib",
    "io",
    "itertools",
    "json",
    "logging",
    "operator",
    "os",
    "pickle",
    "random",
    "re",
    "shutil",
    "sys",
    "threading",
    "types",
    "warnings",
    "weakref",
    "Path",
    "import",
    "as",
    "from",
    "def",
    "class",
    "return",
    "self",
    "for",
    "in",
    "if",
    "else",
    "try",
    "except",
    "with",
    "lambda",
    "global",
    "raise",
    "del",
    "print",
    "int",
    "str",
    "len",
    "list",
    "dict",
    "range",
    "float",
]


def reached(
    before: Sequence[Cell], after: Sequence[Cell], files: Mapping[str, str | None], env: Mapping[str, str]
) -> set[int]:
    """Indices into ``after`` of cells that may have to run."""
    tainted: set[str] | None = set()
    if files:
        tainted |= {"<files>", "<helper>"}
    if env:
        tainted |= {"<environment>"}
    old = {cell.id: (i, cell.source) for i, cell in enumerate(before)}
    kept = [c.id for c in after if c.id in old and old[c.id][1] == c.source]
    in_order = _longest(kept, {name: i for name, (i, _) in old.items()})
    positions = [c.id for c in before]
    found: set[int] = set()
    place = 0
    for index, cell in enumerate(after):
        # Cells that were here and are gone, changed or moved away: what they did is missing.
        if cell.id in in_order:
            upto = positions.index(cell.id)
            for gone in before[place:upto]:
                tainted = _join(tainted, mentions(gone.source))
            place = upto + 1
        names = mentions(cell.source)
        if cell.id not in in_order or _touches(names, tainted):
            found.add(index)
            tainted = _join(tainted, names)
    return found


def _touches(names: set[str] | None, tainted: set[str] | None) -> bool:
    if tainted is None:
        return True
    return bool(tainted if names is None else names & tainted)


def _join(tainted: set[str] | None, names: set[str] | None) -> set[str] | None:
    return None if tainted is None or names is None else tainted | names


def _longest(kept: Sequence[str], order: Mapping[str, int]) -> set[str]:
    """The longest run of cells that are still in their old order."""
    best: list[list[str]] = []
    for name in kept:
        longest = max((b for b in best if order[b[-1]] < order[name]), key=len, default=[])
        best.append([*longest, name])
    return set(max(best, key=len, default=[]))
