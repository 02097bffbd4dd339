"""R9: classes and functions of the notebook have an identity; instances keep the class they were made of."""

from __future__ import annotations

from support.notebooks import Lab, Notebook

OLD_AND_NEW = Notebook(
    [
        "class P:\n    def hi(s): return 'old'\np=P()",
        "class P:\n    def hi(s): return 'new'",
        "q=P()\nr=(p.hi(),q.hi())",
        "w=1",
    ]
)


def test_old_instances_keep_the_old_class(lab: Lab) -> None:
    lab.check(
        OLD_AND_NEW,
        {3: "w=(p.hi(),q.hi(),type(p) is type(q),type(q) is P)"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["w==('old','new',False,True)"],
    )


def test_an_equal_class_made_twice_is_two(lab: Lab) -> None:
    source = "class P:\n    n=1\nps=globals().get('ps',[])+[P()]"
    lab.check(
        Notebook([source, source, "w=1"]),
        {2: "w=[type(x) is P for x in ps]"},
        execute=[2],
        expect=["w==[False,True]"],
    )


def test_the_same_class_cell_twice(lab: Lab) -> None:
    source = "class K:\n    n=0"
    lab.check(
        Notebook([source, "y=K()", source, "r=type(y) is K", "w=1"]),
        {4: "w=(type(y) is K, type(y).n, K.n)"},
        skip=[0, 1, 2, 3],
        execute=[4],
        expect=["r is False", "w==(False,0,0)"],
    )


def test_a_class_cell_run_again_in_a_live_kernel(lab: Lab) -> None:
    source = "class K:\n    n=0"
    lab.check(
        Notebook([source, "y=K()", "w=1"]),
        insert={2: source},
        skip=[0, 1, 3],
        expect=["type(y) is not K", "isinstance(y,K) is False"],
    )


def test_an_attribute_of_a_class_is_seen_through_all_instances(lab: Lab) -> None:
    lab.check(
        Notebook(["class K:\n    n=0\nx=K()", "y=K()", "K.n=5", "r=(x.n,y.n)"]),
        {2: "K.n=7"},
        skip=[0, 1],
        execute=[2, 3],
        expect=["r==(7,7)", "type(x) is type(y) is K"],
    )


def test_hooks_do_not_run_again(lab: Lab) -> None:
    lab.check(
        Notebook(
            [
                "REG=[]\nclass Base:\n    def __init_subclass__(c): REG.append(c.__name__)",
                "class X(Base): pass",
                "w=1",
            ]
        ),
        {2: "w=(list(REG),X().__class__.__name__)"},
        skip=[0, 1],
        execute=[2],
        expect=["w==(['X'],'X')"],
    )


def test_classes_that_refer_to_each_other(lab: Lab) -> None:
    lab.check(
        Notebook(["class A: pass\nclass B: pass\nA.b=B\nB.a=A", "x=A()", "w=1"]),
        {2: "w=(x.b.a is A, type(x) is A)"},
        skip=[0, 1],
        execute=[2],
        expect=["w==(True,True)"],
    )


def test_a_base_edited_reaches_the_subclass(lab: Lab) -> None:
    lab.check(
        Notebook(["class A:\n    def f(s): return 1", "class B(A): pass", "r=B().f()"]),
        {0: "class A:\n    def f(s): return 2"},
        execute=[0, 1, 2],
        expect=["r==2", "issubclass(B,A)"],
    )


def test_functions_share_their_closures(lab: Lab) -> None:
    lab.check(
        Notebook(
            [
                "def mk():\n    n=[0]\n    def inc(): n[0]+=1; return n[0]\n    def get(): return n[0]\n    return inc,get\ninc,get=mk()",
                "inc()",
                "w=1",
            ]
        ),
        {2: "w=(get(),inc(),get())"},
        skip=[0, 1],
        execute=[2],
        expect=["w==(1,2,2)"],
    )


def test_without_r9_old_instances_take_the_new_class(lab: Lab) -> None:
    lab.breaks_without(
        "R9",
        OLD_AND_NEW,
        {3: "w=(p.hi(),q.hi(),type(p) is type(q))"},
        execute=[3],
        expect=["w==('old','new',False)"],
    )


SING = """class Sing:
    _i=None
    def __new__(cls):
        if cls._i is None: cls._i=super().__new__(cls)
        return cls._i
a=Sing()"""


def test_a_singleton_comes_back_with_its_class(lab: Lab) -> None:
    n = Notebook([SING, "b=Sing()\nok=a is b", "c=1"])
    lab.check(
        n,
        {2: "r=[Sing() is a, Sing is type(a), a is b, c if 'c' in globals() else 0]"},
        skip=[0, 1],
        execute=[2],
        expect=["r==[True,True,True,0]"],
    )


def test_a_class_that_moved_on_leaves_its_old_instance(lab: Lab) -> None:
    n = Notebook([SING, "Sing._i=None", "b=Sing()", "c=1"])
    lab.check(
        n,
        {3: "r=[type(a) is Sing, Sing._i is b, Sing() is b, a is b]"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["r==[True,True,True,False]"],
    )


REGISTRY = """class Base:
    known=[]
class D(Base):
    def __new__(cls,x): return super().__new__(cls)
    def __init__(self,x): self.x=x
Base.known.append(D); Base.one=D(3); D.two=Base()
Base.three=Base.one"""


def test_classes_that_hold_each_others_instances(lab: Lab) -> None:
    classes = "[Base.known==[D], type(Base.one) is D, type(D.two) is Base, type(y) is D]"
    lab.check(
        Notebook([REGISTRY, "y=D(5)", "c=1"]),
        {2: f"r={classes}\ns=[Base.three is Base.one, Base.one.x, y.x]"},
        skip=[0, 1],
        execute=[2],
        expect=["r==[True,True,True,True]", "s==[True,3,5]"],
    )


def test_a_class_defined_twice_alike_comes_back(lab: Lab) -> None:
    source = "class a(list):\n    n=1"
    lab.check(
        Notebook([source, source, "b=[a,a]", "c=1"]),
        {3: "c=(b[0] is a)"},
        skip=[0, 1, 2],
        expect=["c is True"],
    )


def test_attributes_of_a_class_keep_their_order(lab: Lab) -> None:
    lab.check(
        Notebook(["class b: pass", "b=type('D',(b,),{'n':0})", "z=1"]),
        {2: "z=list(vars(b))"},
        skip=[0, 1],
        expect=["z==['n','__module__','__doc__']"],
    )


def test_a_typed_named_tuple_keeps_its_bases_and_annotations(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["from typing import NamedTuple\nclass N(NamedTuple):\n    a: int\n    b: list = []", "z=1"]
        ),
        {1: "z=(N.__orig_bases__==(NamedTuple,), N.__new__.__annotations__['a'] is int, N(4).b is N(3).b)"},
        skip=[0],
        execute=[1],
        expect=["z==(True,True,True)"],
    )


def test_an_ordered_dict_has_an_order_of_its_own(lab: Lab) -> None:
    made = "from collections import OrderedDict\nclass OD(OrderedDict): pass\no=OD(a=1,b=2); p=OrderedDict(a=1,b=2)"
    lab.check(
        Notebook([made, "o.move_to_end('a')\np.move_to_end('a')", "z=1"]),
        {2: "z=(list(o),list(p))"},
        skip=[0, 1],
        execute=[2],
        expect=["z==(['b','a'],['b','a'])"],
    )


def test_what_a_class_got_later_comes_after_its_slots(lab: Lab) -> None:
    made = "class P:\n    __slots__ = ('n', 'm')\n    def hi(s): return 1\nP.later = 2"
    lab.check(Notebook([made, "w=1"]), {1: "w=[n for n in vars(P) if n[0] != '_']"}, skip=[0])
