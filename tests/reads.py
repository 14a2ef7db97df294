"""Which settings of a section the code of a stage reads, by its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator


def keys_read(code: str, section: str, helpers: str = "") -> set[str]:
    """Keys of a section that the functions of a stage read, or the helpers that they call.

    A section is cfg.<section>, cfg[...stage], or a name or a parameter that either was given to: a key of the same name
    in another section does not count.

    Args:
        code: Of the stage.
        section: Name of the section.
        helpers: Code of functions that the stage may call.
    """
    known = {node.name: node for node in ast.parse(helpers + "\n" + code).body if isinstance(node, ast.FunctionDef)}
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()

    def visit(node: ast.AST, names: frozenset[str]) -> None:
        names = names | frozenset(_given(node, section))
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute) and _is_section(part.value, section, names):
                found.add(part.attr)
            elif isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Constant):
                call = part.value  # plain(cfg.<section>)["key"]
                if isinstance(call, ast.Call) and any(_is_section(one, section, names) for one in call.args):
                    found.add(part.slice.value)
            elif isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in known:
                function = known[part.func.id]
                parameters = [one.arg for one in function.args.args]
                own = frozenset(
                    name
                    for name, value in zip(parameters, part.args, strict=False)
                    if _is_section(value, section, names)
                )
                if (function.name, own) not in seen:
                    seen.add((function.name, own))
                    visit(function, own)

    for function in ast.parse(code).body:
        visit(function, frozenset())
    return found


def _is_section(node: ast.AST, section: str, names: Iterable[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.Attribute):
        return node.attr == section and _is_cfg(node.value)
    return isinstance(node, ast.Subscript) and _is_cfg(node.value) and ast.unparse(node.slice) in ("stage", "run.stage")


def _is_cfg(node: ast.AST) -> bool:
    return ast.unparse(node) in ("cfg", "run.cfg", "self.cfg")


def _given(node: ast.AST, section: str) -> Iterator[str]:
    """Names that are given the section, one by one or in a tuple."""
    for part in ast.walk(node):
        if isinstance(part, ast.Assign):
            target, value = part.targets[0], part.value
            pairs = (
                zip(target.elts, value.elts, strict=False)
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
                else [(target, value)]
            )
            for name, one in pairs:
                if isinstance(name, ast.Name) and _is_section(one, section, ()):
                    yield name.id
