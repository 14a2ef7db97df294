"""Files for people who join: what they say about the code is true."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

import wsvs
from wsvs.core.errors import UserError
from wsvs.nets.weights import load_tensors

ROOT = Path(__file__).parents[1]
PAGES = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/platforms.md")


def test_citation_has_the_version():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cff["version"] == wsvs.__version__
    assert [author["family-names"] for author in cff["preferred-citation"]["authors"]] == [
        "Hong",
        "Yeo",
        "Kwak",
        "Lee",
        "Han",
    ]


@pytest.mark.parametrize("page", PAGES)
def test_named_files_and_links_exist(page):
    text = (ROOT / page).read_text()
    paths = re.findall(r"`((?:wsvs|conf|docs|tests|\.ci|\.github)/[\w./]+)`", text)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    missing = [path for path in paths if not (ROOT / path).exists()]
    missing += [link for link in links if link and not (ROOT / page).parent.joinpath(link).exists()]
    assert missing == []


def test_tests_named_in_their_readme_exist():
    named = re.findall(r"`([\w/]+\.py)`", (ROOT / "tests" / "README.md").read_text())
    assert len(named) > 20
    assert [path for path in named if not (ROOT / "tests" / path).is_file()] == []


def test_named_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make (\w+)|`make (\w+)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
    assert {one or other for one, other in named} <= targets


def test_every_page_is_in_the_site():
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = set(re.findall(r"([\w/]+\.md)", nav))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= listed
    copied = {"index.md", "contributing.md", "changelog.md", "security.md"}  # by docs/site.py
    notebooks = {f"notebooks/{path.stem}.md" for path in ROOT.glob("notebooks/*.ipynb")}
    assert notebooks <= listed
    assert [page for page in listed - copied - notebooks if not (ROOT / "docs" / page).is_file()] == []


def test_tests_of_the_quick_check_exist():
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", "")
    [line] = re.findall(r"^QUICK := (.+)$", makefile, re.MULTILINE)
    assert [path for path in line.split() if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("path", sorted([*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"]), ids=str)
def test_yaml_files_can_be_read(path):
    assert yaml.safe_load(path.read_text())


def test_names_of_tests_are_at_most_60_characters():
    """One fact each: a name that needs more says several."""
    names = {
        node.name
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    }
    assert len(names) > 1000
    assert sorted(name for name in names if len(name) > 60) == []


def test_no_file_of_the_repository_is_large():
    """As the hook of .pre-commit-config.yaml: data and weights stay outside."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    sizes = {name: (ROOT / name).stat().st_size for name in listed.stdout.split("\0") if (ROOT / name).is_file()}
    assert {name: size for name, size in sizes.items() if size > 1_000_000} == {}


def test_code_in_weights_is_not_executed(tmp_path):
    class Code:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    import torch

    torch.save({"features.0.weight": Code()}, tmp_path / "weights.pt")
    with pytest.raises(UserError, match="damaged, or holds more than tensors"):
        load_tensors(tmp_path / "weights.pt")
    assert not (tmp_path / "executed").exists()
