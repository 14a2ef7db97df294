"""Text is UTF-8 on every machine, whatever its locale says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = ("read_text", "write_text", "FileHandler")
OTHERS = ("av", "tarfile", "os", "Image", "self", "source", "tracker")  # whose open() is not of text


def left_to_the_locale(source: str) -> list[int]:
    """Lines of calls that read or write text and do not say in which encoding."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(word.arg == "encoding" for word in node.keywords):
            continue
        method = isinstance(node.func, ast.Attribute)
        name = node.func.attr if method else getattr(node.func, "id", "")
        owner = getattr(node.func.value, "id", getattr(node.func.value, "attr", "")) if method else ""
        if name == "open" and owner not in OTHERS:
            words = [word.value for word in node.keywords if word.arg == "mode"] or node.args[0 if method else 1 :][:1]
            if not (words and "b" in ast.unparse(words[0])):
                lines.append(node.lineno)
        elif method and name in TEXT:
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("folder", ["wsvs", "benchmarks", "docs"])
def test_every_text_file_has_its_encoding(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    found = {path.relative_to(ROOT).as_posix(): left_to_the_locale(path.read_text("utf-8")) for path in files}
    assert files and {name: lines for name, lines in found.items() if lines} == {}


def test_the_rule_itself():
    left = (
        "open(x)",
        "open(x, 'w')",
        "p.open()",
        "p.open('a')",
        "(p / 'a').open(newline='')",
        "p.read_text()",
        "p.write_text('a')",
        "logging.FileHandler(p)",
    )
    right = (
        "open(x, 'rb')",
        "p.open('wb')",
        "p.open(mode='rb')",
        "av.open(x, 'w')",
        "p.read_text(encoding='utf-8')",
        "write_text(p, 'a')",
        "p.open('r+b' if q else 'wb')",
    )
    assert [one for one in left if not left_to_the_locale(one)] == []
    assert [one for one in right if left_to_the_locale(one)] == []
