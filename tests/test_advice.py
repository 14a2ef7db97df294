"""Advice that works when typed: every setting, value, extra and page that a message names exists."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsvs.config.check import all_keys
from wsvs.config.files import config_dir
from wsvs.engine.names import stage_names

ROOT = Path(__file__).parents[1]
# Words before = that are no settings: of Python's interface, of Hydra, of files and of other programs.
NO_SETTINGS = {"method", "device", "token", "hydra/launcher", "hydra/sweeper"}  # of Python, of Hydra
HYDRA = ("hydra.sweeper.study_name", "hydra.sweeper.n_trials", "hydra.launcher.n_jobs", "hydra.launcher.tasks_per_node")
FILES = (".json", ".md", ".csv", ".jsonl", ".py", ".tsv", ".txt", ".xml", ".yaml", ".html")
WORD = re.compile(r"(?<![\w.<>\-/])([a-z][\w/]*(?:\.[a-z_]\w*)*)=([\w/\-]*)")
EXTRA = re.compile(r"wsvs\[([\w,]+)\]")


def advice(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every remedy in a module; what an f-string puts in is written {}."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            if keyword.arg == "remedy":
                yield node.lineno, text_of(keyword.value, constants)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name in ("add", "add_items") and len(node.args) > 2:  # of a report: what, where, remedy
            yield node.lineno, " ".join(text_of(argument, constants) for argument in node.args[2:])


def text_of(node: ast.AST, constants: dict[str, ast.expr]) -> str:
    """All text that an expression may give, one after the other."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part, constants) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "{}"
    if isinstance(node, ast.Name) and node.id in constants:
        return text_of(constants[node.id], {})
    return " ".join(text_of(child, constants) for child in ast.iter_child_nodes(node))


ADVICE = [
    pytest.param(text, id=f"{path.relative_to(ROOT).as_posix()}:{line}")
    for path in sorted((ROOT / "wsvs").rglob("*.py"))
    for line, text in advice(path)
    if text.strip()
]


@pytest.fixture(scope="module")
def known() -> tuple[set[str], dict[str, set[str]]]:
    """All settings, and the words of the configuration that are none; {group: its choices}."""
    groups = {
        folder.name: {path.stem for path in folder.glob("*.yaml")}
        for folder in config_dir().iterdir()
        if folder.is_dir() and folder.name != "hydra"
    } | {"stage": set(stage_names())}
    keys = {key.rsplit(".", cut)[0] for key in all_keys() for cut in (0, 1, 2)}
    return keys | set(HYDRA) | {f"callbacks.{name}" for name in ("checkpoint", "progress")}, groups


def faults(text: str, keys: set[str], groups: dict[str, set[str]]) -> list[str]:
    """What an advice names that does not exist."""
    found = []
    for key, value in WORD.findall(text):
        if key in groups:
            if re.fullmatch(r"[a-z][a-z0-9_]*", value) and value not in groups[key]:
                found.append(f"{key}={value}")
        elif key not in keys | NO_SETTINGS:
            found.append(key)
    sections = "|".join(sorted({key.partition(".")[0] for key in keys if "." in key and not key.startswith("hydra")}))
    for key in re.findall(rf"(?<![\w.<>/\-])((?:{sections})\.[a-z]\w*(?:\.[a-z]\w*)*)(?![\w/(]|\.\w)", text):
        if key not in keys and not key.endswith(FILES):
            found.append(key)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    found += [f"extra {name}" for names in EXTRA.findall(text) for name in names.split(",") if name not in extras]
    return found + [page for page in re.findall(r"docs/[\w/]+\.md", text) if not (ROOT / page).is_file()]


@pytest.mark.parametrize("text", ADVICE)
def test_what_an_advice_names_exists(text, known):
    assert faults(text, *known) == [], text


def test_there_is_advice_to_check(known):
    assert len(ADVICE) > 150
    assert set(known[1]["stage"]) == set(stage_names())


def test_false_advice_is_found(known):
    wrong = "lower decoder.min_aera, give data.rot=DIR, experiment=tiny or stage=train, 'wsvs[tim]', docs/no.md"
    assert faults(wrong, *known) == [
        "data.rot",
        "experiment=tiny",
        "stage=train",
        "decoder.min_aera",
        "data.rot",
        "extra tim",
        "docs/no.md",
    ]


def test_right_advice_has_no_fault(known):
    right = "give data.root=DIR or {}.lr=1, experiment=small, lower decoder.min_area, WSVS_RUN_ID=x, <stage>.batch_size"
    assert faults(right, *known) == []
