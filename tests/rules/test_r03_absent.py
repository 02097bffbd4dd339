"""R3: a name that was looked for and not found is an input; listing the names reads them all."""

from __future__ import annotations

from support.notebooks import Lab, Notebook

SHADOW = Notebook(["pass", "n=len([1,2,3])", "m=n+1"])


def test_a_name_that_raised_name_error(lab: Lab) -> None:
    lab.check(
        Notebook(["pass", "try:\n    r=q\nexcept NameError:\n    r='none'", "s=r*2"]),
        {0: "q='some'"},
        execute=[0, 1, 2],
        expect=["s=='somesome'"],
    )


def test_iterating_the_namespace_reads_all_names(lab: Lab) -> None:
    lab.check(
        Notebook(["zz1=1", "names=sorted(k for k in globals() if k.startswith('zz'))", "n=len(names)"]),
        {0: "zz1=1\nzz2=2"},
        execute=[0, 1, 2],
        expect=["n==2"],
    )


def test_membership_and_get_are_reads(lab: Lab) -> None:
    lab.check(
        Notebook(["p=0", "h='opt' in globals()", "g=globals().get('opt',7)", "w=1"]),
        {0: "p=0\nopt=3"},
        execute=[0, 1, 2],
        skip=[3],
        expect=["h", "g==3"],
    )


def test_a_name_that_vanishes(lab: Lab) -> None:
    lab.check(Notebook(["k=2\nu=1", "r='k' in globals()"]), {0: "u=1"}, execute=[0, 1], expect=["r is False"])


def test_without_r3_a_shadowed_builtin_goes_unseen(lab: Lab) -> None:
    lab.breaks_without("R3", SHADOW, {0: "len=lambda s: 99"}, execute=[0, 1, 2], expect=["n==99", "m==100"])


def test_the_namespace_is_iterated_in_the_order_of_binding(lab: Lab) -> None:
    lab.check(
        Notebook(["b=1\na=2", "c=3", "k=[n for n in globals() if len(n)==1 and n!='_']"]),
        {2: "k=[n for n in globals() if len(n)==1 and n!='_' or n=='_i']"},
        skip=[0, 1],
        execute=[2],
        expect=["k==['_i','b','a','c']"],
    )


def test_a_change_of_the_order_of_binding_is_seen(lab: Lab) -> None:
    lab.check(
        Notebook(["b=1\na=2", "k=[n for n in globals() if len(n)==1 and n!='_']"]),
        {0: "a=2\nb=1"},
        execute=[0, 1],
        expect=["k==['a','b']"],
    )
