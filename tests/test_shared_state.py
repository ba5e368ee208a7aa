"""What threads share: the sources' changes to modules' own state, all of which docs/edges.md explains."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "edges.md"
SOURCES = {
    path.relative_to(root).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for root in (ROOT / "core", ROOT / "backends")
    for path in root.rglob("*.py")
    if "skeleton" not in path.parts
}
CHANGES = frozenset(
    [
        "append",
        "appendleft",
        "extend",
        "insert",
        "pop",
        "popitem",
        "popleft",
        "clear",
        "update",
        "setdefault",
        "add",
        "discard",
        "remove",
    ]
)
MUTABLE = frozenset(
    [
        "count",
        "cycle",
        "iter",
        "deque",
        "defaultdict",
        "Counter",
        "OrderedDict",
        "WeakKeyDictionary",
        "WeakSet",
    ]
)


def name_of(node: ast.AST) -> str:
    """Return the last part of a name, called or not: "f" of `f`, `module.f` and `f(1)`."""
    if isinstance(node, ast.Call):
        return name_of(node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def stores(function: ast.AST) -> set[str]:
    """Name what a function changes in place: bases of stored items and attributes, and of mutating calls."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            found.update(node.names)
        target = node
        if isinstance(node, ast.Call) and name_of(node) in CHANGES and isinstance(node.func, ast.Attribute):
            target = node.func
        elif not isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
            continue
        while isinstance(target, (ast.Subscript, ast.Attribute)):
            target = target.value
            if isinstance(target, ast.Name):
                found.add(target.id)
            elif isinstance(target, ast.Call) and name_of(target) == "globals":
                found.add("globals")
    return found


def shared_state(source: str) -> set[str]:
    """Name the module-level objects that functions change, caches, and instances that change themselves."""
    module = ast.parse(source)
    functions = [node for node in ast.walk(module) if isinstance(node, (ast.FunctionDef, ast.Lambda))]
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    changed = set().union(*map(stores, functions))
    found = {node.name for node in functions if hasattr(node, "name") and cached(node)} | changed & {
        "globals"
    }
    found |= changed & classes.keys()
    for node in module.body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        made = name_of(node.value) if isinstance(node.value, ast.Call) else ""
        itself = made in classes and any(
            "self" in stores(method)
            for method in classes[made].body
            if isinstance(method, ast.FunctionDef) and method.name != "__init__"
        )
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        found |= names if itself or made in MUTABLE else names & changed
    return found


def cached(function: ast.FunctionDef) -> bool:
    """Whether a function remembers its results."""
    return bool({"cache", "lru_cache"} & set(map(name_of, function.decorator_list)))


def test_the_table_lists_all_state_that_threads_share() -> None:
    found = {f"{name}.{each}" for name, path in SOURCES.items() for each in shared_state(path.read_text())}
    rows = re.findall(r"^\| `(lucid[\w.]*)` \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(found)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a = {}\ndef f():\n    a[1] = 2", {"a"}),
        ("a = {}\ndef f():\n    del a[1]", {"a"}),
        ("a: list = []\nclass C:\n    def f(self):\n        a.append(1)", {"a"}),
        ("a = []\nf = lambda: a.clear()", {"a"}),
        ("a = 1\ndef f():\n    global a\n    a = 2", {"a"}),
        ("a = b()\ndef f():\n    a.c[0].d = 2", {"a"}),
        ("class C:\n    n = 0\ndef f():\n    C.n += 1", {"C"}),
        ("from itertools import count\na = count()", {"a"}),
        ("class C:\n    def f(self):\n        self.n = 1\na = C()", {"a"}),
        ("@lru_cache(maxsize=1)\ndef f(): ...", {"f"}),
        ("def f():\n    globals()['a'] = 1", {"globals"}),
        ("a = {}\ndef f():\n    b = {}\n    b[a[1]] = 2", set()),
        ("class C:\n    def __init__(self):\n        self.n = 1\na = C()", set()),
        ("a = {1: 2}\na[3] = 4", set()),
    ],
)
def test_a_change_to_what_threads_share_is_found(source, names) -> None:
    assert shared_state(source) == names
