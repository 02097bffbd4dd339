"""Which settings of packages code changes, told by its syntax (R7)."""

from __future__ import annotations

import ast
import calendar
import http.client
import logging
import os
import reprlib
import types
import xml.etree.ElementTree as tree
from calendar import setfirstweekday
from typing import Any

import numpy as np
import pytest

from nbrewind.flow import setters


class Graph:
    """What a notebook's own object stands for."""


VALUES: dict[str, Any] = {
    "calendar": calendar,
    "client": http.client,
    "logging": logging,
    "os": os,
    "reprlib": reprlib,
    "ET": tree,
    "np": np,
    "set_day": setfirstweekday,
    "setfirstweekday": setfirstweekday,
    "array": np.zeros(2),
    "day": 6,
    "settings": types.SimpleNamespace(x=1),
    "add_all": lambda values: None,
}

SETS = {
    "calendar.setfirstweekday(day)": ["settings of calendar"],
    "setfirstweekday(6)": ["settings of calendar"],
    "old = calendar.setfirstweekday(6)": ["settings of calendar"],
    "if day:\n    ET.register_namespace('q', 'u')": ["settings of xml"],
    "reprlib.aRepr.maxlist = 2": ["settings of reprlib"],
    "del client.responses[299]": ["settings of http"],
    "client.responses[299] = 'mine'": ["settings of http"],
    "client.responses.update({299: 'mine'})": ["settings of http"],
    "r, w = os.pipe()": ["numbers of open files"],
}
LEAVES = [
    "calendar.weekheader(2)",
    "calendar.January = 3",  # an attribute of a module: R8 follows it
    "ET.register_namespace(array, 'u')",  # acts on what it is given, perhaps
    "with calendar.setfirstweekday(6):\n    pass",  # put back at the end
    "def later():\n    calendar.setfirstweekday(6)",
    "later = lambda: calendar.setfirstweekday(6)",
    "np.set_printoptions(precision=3)",  # read before and after each cell
    "logging.disable(50)",
    "settings.x = 2",
    "add_all([1])",
    "x = {'set': 1}\nx.update(set=2)",
    "os.listdir('.')",
    "unknown.set_all(1)",
]


@pytest.mark.parametrize("text", SETS)
def test_code_that_sets(text: str) -> None:
    assert setters.changed(ast.parse(text), VALUES.get) == SETS[text]


@pytest.mark.parametrize("text", LEAVES)
def test_code_that_sets_nothing_unseen(text: str) -> None:
    assert setters.changed(ast.parse(text), VALUES.get) == []


@pytest.mark.parametrize("text", SETS)
def test_all_of_it_is_worth_a_look(text: str) -> None:
    names = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Attribute)}
    assert setters.suspicious(names, text)


def test_plain_code_is_not() -> None:
    assert not setters.suspicious(
        frozenset({"df", "groupby", "mean"}), "x = df.groupby('a').mean()\ny = x[0]\n"
    )
