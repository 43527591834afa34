"""What a model's functions are: a digest of their code and of what it refers to, however deep.

Two digests of one walk. By bytecode: what runs, under this version of Python. By source: the same text, whatever the
version, its layout, comments, annotations and docstrings.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import linecache
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numba.core.dispatcher import Dispatcher

from livesmc2.compiler.functions import referents
from livesmc2.model.state_space import StateSpaceModel

_STANDARD = {"math", "cmath", "numpy", "builtins", "operator"}
"""Modules that are what their name says: their versions are known elsewhere."""


class Identity(NamedTuple):
    """What runs, under this version of Python."""

    code: str
    """A digest by bytecode. Objects whose content cannot be read count by themselves."""
    lasting: bool
    """Whether there is no such object: another process would give `code` to this model, and to no other."""
    modules: tuple[str, ...]
    """Where the functions were defined."""


def identity(model: StateSpaceModel) -> Identity:
    """By bytecode."""
    walk = _Walk(by_source=False)
    walk.feed(_shape(model))
    for name, function in model.functions().items():
        walk.feed((name, function))
    return Identity(walk.digest.hexdigest(), walk.lasting, tuple(sorted(walk.modules)))


def describe(model: StateSpaceModel) -> dict[str, Any]:
    """What a file says of its model, as plain data."""
    return {
        "python": sys.version,
        "code": identity(model).code,
        "labels": [model.parameter_fields.labels(), model.state_fields.labels()],
        "source": source_digests(model),
    }


def difference(described: Mapping[str, Any], model: StateSpaceModel) -> str | None:
    """What is different about a model, in words; None if it is the one described.

    Under the same Python bytecode decides, under another the functions' source.
    """
    here = describe(model)
    same_python = here["python"] == described["python"]
    if same_python and here["code"] == described["code"]:
        return None
    if here["labels"] != described["labels"] or here["source"]["names"] != described["source"]["names"]:
        return f"its parameters and states are {described['labels']}, here they are {here['labels']}"
    names = sorted({*here["source"], *described["source"]})
    differ = [name for name in names if here["source"].get(name) != described["source"].get(name)]
    if differ:
        return f"{', '.join(differ)} of the model, or what they refer to, differ"
    if same_python:
        return "its functions refer to objects whose content cannot be read, or were changed since they were read"
    unknown = [name for name in names if here["source"][name] is None]
    if unknown:
        return (
            f"it was written under Python {described['python'].split()[0]}, and there is no source of "
            f"{', '.join(unknown)} to compare under this version: functions of a module or a script have one"
        )
    return None


def source_digests(model: StateSpaceModel) -> dict[str, str | None]:
    """A digest by source for each function and for `names`; None where no source is to be had."""
    digests: dict[str, str | None] = {}
    for name, part in {"names": _shape(model), **model.functions()}.items():
        walk = _Walk(by_source=True)
        walk.feed(part)
        digests[name] = walk.digest.hexdigest() if walk.lasting else None
    return digests


def _shape(model: StateSpaceModel) -> tuple[Any, ...]:
    return model.parameter_fields.sizes, model.state_fields.sizes, model.observed, model.covariates


class _Walk:
    """Feeds values to a digest."""

    def __init__(self, *, by_source: bool) -> None:
        self.digest = hashlib.sha256()
        self.lasting = True
        self.modules: set[str] = set()
        self._by_source = by_source
        self._seen: dict[int, int] = {}

    def feed(self, value: Any, names: frozenset[str] = frozenset()) -> None:
        """names: attributes that the code around it uses, of which those of a module count."""
        if isinstance(value, Dispatcher):
            self._say(f"compiled {sorted(value.targetoptions.items())!r};")
            self.feed(value.py_func)
        elif isinstance(value, (types.FunctionType, types.ModuleType)) and self._again(value):
            pass
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.ModuleType):
            self._module(value, names)
        elif isinstance(value, types.CodeType):
            self._code(value)
        elif isinstance(value, (tuple, list)):
            self._say(f"{type(value).__name__} {len(value)} {getattr(value, '_fields', ())};")
            for part in value:
                self.feed(part)
        elif isinstance(value, dict):
            self._say(f"dict {len(value)};")
            for name, part in value.items():
                self.feed((str(name), part))
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            self._say(f"array {value.dtype.str} {value.shape};")
            self.digest.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, frozenset):
            self.feed(sorted(map(repr, value)))
        elif isinstance(value, slice):
            self.feed((value.start, value.stop, value.step))
        elif value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
            self._say(f"{type(value).__name__} {value!r};")
        elif isinstance(value, (types.BuiltinFunctionType, np.ufunc)):
            self._say(f"builtin {getattr(value, '__module__', '')}.{value.__name__};")
        elif isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"):
            self._say(f"record {value.__name__} {value._fields};")
        elif isinstance(value, type) and value.__module__.split(".")[0] in _STANDARD:
            self._say(f"type {value.__module__}.{value.__qualname__};")
        else:
            # What it holds cannot be read off, so here it counts by itself, and nowhere else.
            self.lasting = False
            self._say(f"{type(value).__qualname__} {id(value)};")

    def _say(self, text: str) -> None:
        self.digest.update(text.encode())

    def _again(self, value: Any) -> bool:
        """Whether it was met before: then its number is enough."""
        known = id(value) in self._seen
        self._say(f"object {self._seen.setdefault(id(value), len(self._seen))};")
        return known

    def _function(self, function: types.FunctionType) -> None:
        self.modules.add(str(function.__globals__.get("__name__")))
        if self._by_source:
            source = _source(function)
            self.lasting = self.lasting and source is not None
            self._say(f"source {source};")
        else:
            self.feed(function.__code__)
        self.feed((function.__defaults__, function.__kwdefaults__))
        names = frozenset(_names(function.__code__))
        for name, referent in sorted(referents(function).items()):
            self._say(f"{name}=")
            self.feed(referent, names)

    def _module(self, module: types.ModuleType, names: frozenset[str]) -> None:
        self._say(f"module {module.__name__};")
        if module.__name__.split(".")[0] in _STANDARD:
            return
        for name in sorted(names & set(vars(module))):
            self._say(f".{name}=")
            self.feed(vars(module)[name], names)

    def _code(self, code: types.CodeType) -> None:
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self.feed((*counts, code.co_code, *names, code.co_consts))


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


# -- source ------------------------------------------------------------------------------------------------------------

_UNSEEN = {"name", "ctx", "kind", "type_comment", "type_params", "decorator_list", "returns", "annotation"}
"""What does not change what a function does, or differs between versions of Python."""


def _source(function: types.FunctionType) -> str | None:
    """A function's text as a tree in words that no version of Python changes; None where there is no text."""
    code = function.__code__
    text = "".join(linecache.getlines(code.co_filename, function.__globals__))
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    places: list[Any] = [
        place
        for place in code.co_positions()
        if None not in place and place[2:] != (0, 0)  # which is nowhere
    ]
    found = [
        node
        for node in _functions(text)
        if _first_line(node) == code.co_firstlineno
        and tuple(one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)) == arguments
        and all(_holds(node, *place) for place in places)
    ]
    return repr(_tree(found[-1])) if found else None


@functools.lru_cache(maxsize=32)
def _functions(text: str) -> list[ast.FunctionDef | ast.Lambda]:
    """All functions in a text, the outer ones first."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))]


def _first_line(node: ast.FunctionDef | ast.Lambda) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])


def _holds(node: Any, line: int, last_line: int, column: int, last_column: int) -> bool:
    """Whether a piece of code lies inside a node."""
    return bool(
        (node.lineno, node.col_offset) <= (line, column)
        and (last_line, last_column) <= (node.end_lineno, node.end_col_offset)
    )


def _tree(node: Any) -> Any:
    if isinstance(node, list):
        return [_tree(part) for part in node]
    if not isinstance(node, ast.AST):
        return node
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list) and isinstance(node, ast.FunctionDef):
            value = value[1:] if ast.get_docstring(node, clean=False) is not None else value
        if name not in _UNSEEN and value is not None and value != []:
            fields.append((name, _tree(value)))
    return (type(node).__name__, *fields)
