"""What the cases of the engines' conformance class run: functions, edits, arguments."""

from __future__ import annotations

FUNCTIONS = """
import os, random, sys
K = 10
TABLE = {"a": [1, 2]}
def deepest(x):
    return x + 1
def helper(x):
    return deepest(x) * 1
def work(x, scale=2, *, shift=0):
    mark("work")
    return helper(x) * scale + K + shift
def lookup(x):
    mark("lookup")
    return (x, TABLE["a"][-1])
def show(x):
    mark("show")
    return repr(x)
class Model:
    factor = 3
    def __init__(self, a):
        self.a = a
    def predict(self, x):
        mark("predict")
        return self.scaled(x)
    def scaled(self, x):
        return self.a * x * self.factor
class Point:
    def __init__(self, v):
        self.v = v
def point(v):
    mark("point")
    return Point(v)
def draw(_=None):
    mark("draw")
    return random.Random(os.urandom(8)).random()
def read(path):
    mark("read")
    with open(path) as source:
        return source.read()
def listed(path):
    mark("listed")
    return sorted(os.listdir(path))
def write(path, text):
    mark("write")
    with open(path, "w") as target:
        target.write(text)
    return path
def note(path, text):
    mark("note")
    with open(path, "a") as target:
        target.write(text)
    return len(text)
def inverse(x):
    mark("inverse")
    return 1 / x
def talk(x):
    mark("talk")
    print("task says", x)
    return x
def variable(name):
    mark("variable")
    return os.environ.get(name)
def total(values):
    mark("total")
    return sum(values)
def load(i):
    mark("load")
    return i
def clean(x):
    mark("clean")
    return x // 10
def fit(x):
    mark("fit")
    return x + 1
def big(n):
    mark("big")
    return bytes(n)
def lazy(n):
    mark("lazy")
    return (i for i in range(n))
def nothing(_):
    mark("nothing")
def imports(folder):
    import importlib
    sys.path.insert(0, folder)
    sys.modules.pop("conformance_helper", None)
    importlib.invalidate_caches()
    import conformance_helper
    sys.path.remove(folder)
    mark("imports")
    return conformance_helper.value()
"""

EDITS = {
    "the function": (
        "return helper(x) * scale + K + shift",
        "return helper(x) * scale + K + shift + 1",
        True,
    ),
    "a helper": ("return deepest(x) * 1", "return deepest(x) * 2", True),
    "a helper two calls away": ("return x + 1\ndef helper", "return x + 2\ndef helper", True),
    "a captured global": ("K = 10", "K = 11", True),
    "the type of a captured global": ("K = 10", "K = 10.0", True),
    "a default": ("scale=2", "scale=3", True),
    "the default of a keyword": ("shift=0", "shift=5", True),
    "a comment": ("K = 10", "# ten\nK = 10", False),
    "moved lines": ("def work(", "\n\n\n\ndef work(", False),
    "another function": ("return x // 10", "return x // 11", False),
}
"""Edits of ``work``: text before, text after, whether the task has to run again."""

DIFFERENT = {
    "int and bool": ("1", "True"),
    "int and float": ("1", "1.0"),
    "list and tuple": ("[1, 2]", "(1, 2)"),
    "zeros": ("0.0", "-0.0"),
    "text and bytes": ("'1'", "b'1'"),
    "bytes and bytearray": ("b'1'", "bytearray(b'1')"),
    "set and frozenset": ("{1}", "frozenset({1})"),
    "a value in a dict": ("{'a': 1}", "{'a': True}"),
    "order of a dict": ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
    "texts that look like hashes": ("'data-0123456789ab'", "'data-ba9876543210'"),
    "hashes of full length": ("'0' * 64", "'0' * 63 + '1'"),
    "names that look like futures": ("'work-0'", "'work-1'"),
    "nested": ("[[1], (2, {'k': [3]})]", "[[1], (2, {'k': [4]})]"),
    "None and text": ("None", "'None'"),
}
"""Arguments that are equal or alike and yet not the same."""

SAME = {
    "lists": ("[1, 2, 3]", "list((1, 2)) + [3]"),
    "sets made in another order": ("{1, 2, 3}", "set([3, 2]) | {1}"),
    "texts": ("'ab'", "''.join(['a', 'b'])"),
    "dicts": ("{'a': 1}", "dict(a=1)"),
}
"""Arguments that are the same and made in another way."""

ARRAYS = {
    "a view and its copy": ("np.arange(12).reshape(3, 4)[:, 1]", "np.array([1, 5, 9])", None),
    "an element": ("np.arange(12)[2:9]", "np.arange(12)[1:8]", True),
    "the type": ("np.arange(3)", "np.arange(3.0)", True),
    "the shape": ("np.arange(4)", "np.arange(4).reshape(2, 2)", True),
    "a far element": ("np.zeros(100_000)", "np.concatenate([np.zeros(99_999), [1.0]])", True),
}
"""Arrays before and after, and whether the task has to run again: None where it may (strides can be seen)."""
