"""Words that the field has a standard term for are not used for it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENDINGS = {".py", ".md", ".yaml", ".js", ".j2", ".css", ".sh", ".ipynb"}
TEXTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "SECURITY.md")),
    *(
        path
        for folder in ("wsvs", "conf", "docs", "benchmarks", "notebooks")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in ENDINGS
    ),
]
TERMS = {  # pattern -> the term to use
    r"[Ff]ilms?": "video, clip",
    r"[Pp]ictures?": "image, figure",
    r"[Tt]runks?": "backbone",
    r"[Mm]end(s|ed|ing)?": "fix",
    r"[Aa]new": "again, from scratch",
    r"([Nn]o|[Ss]ome|[Aa]ny)body|[Ww]hoever": "(the thing as subject)",
    r"[Pp]assed over": "skipped",
    r"(go|goes|went|gone) on(?! (the|a) )|(is|are|was|be) taken up": "resume, continue",
    r"[Ss]o many": "number of",
    r"(is|are|was|were|been) (told|said)": "(the speaker as subject), reported",
    r"PATIENCE|MANNERS|NO_RESULT|[Pp]olite(ly|ness)?": "timeout, rate limit, options that change no result",
    r"(sow|sows|sowed|sown)": "set_seed, seed",
    r"[Tt]elling part": "discriminative part",
}
ALLOWED = {  # file -> words that have to stay: file names, names of others, keys of old files
    "conf/experiment/animals_resnet.yaml": {"trunk"},  # the name of a weights file
    "docs/picture.py": {"picture"},  # its own name
    "docs/report_picture.py": {"picture"},
    "docs/report.md": {"picture"},
    "wsvs/core/runs.py": {"passed over"},  # the key of earlier versions
    "wsvs/core/tag_columns.py": {"picture", "film"},  # column names of tables
    "wsvs/report/templates/page.html.j2": {"polite"},  # aria-live
    "wsvs/report/templates/viewer.html.j2": {"polite"},
}


def words(text: str) -> set[str]:
    """Forbidden words of a text, also as parts of names with underscores."""
    found = set()
    for pattern in TERMS:
        found |= {match[0] for match in re.finditer(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", text)}
    return found


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_texts_use_the_terms_of_the_field(path):
    found = words(path.read_text(encoding="utf-8"))
    assert found <= ALLOWED.get(path.relative_to(ROOT).as_posix(), set())


def test_every_exception_is_needed():
    for name, allowed in ALLOWED.items():
        assert allowed <= words((ROOT / name).read_text(encoding="utf-8")), name


def test_the_words_are_found():
    assert words("make_film(pictures), mended, NO_RESULT; it goes on and is told") == {
        *("film", "pictures", "mended", "NO_RESULT", "goes on", "is told")
    }
    assert words("filmic trunkated recommended goes on the disk, footpicture") == set()


def test_names_of_tests_use_the_terms_of_the_field():
    found = {}
    for path in (ROOT / "tests").rglob("*.py"):
        for name in re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found |= {name: bad} if (bad := words(name) | words(name.replace("_", " "))) else {}
            found |= {name: {"longer than 60"}} if len(name) > 60 else {}
    assert found == {}


def test_comments_of_tests_use_the_terms_of_the_field():
    found = {}
    for path in (ROOT / "tests").rglob("*.py"):
        if path == Path(__file__):  # the terms themselves
            continue
        source = path.read_text(encoding="utf-8")
        scopes = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        ]
        texts = [ast.get_docstring(node) or "" for node in scopes]
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        texts += [token.string for token in tokens if token.type == tokenize.COMMENT]
        found |= {path.name: bad} if (bad := words("\n".join(texts))) else {}
    assert found == {}


ADVICE = re.compile(
    r"\b(model|segment|predict|encoder|decoder|adapt|retrieve|trainer|inputs|data)\.[a-z_]+=|\bwsvs stage="
)


@pytest.mark.parametrize("path", sorted([*(ROOT / "wsvs/nets").glob("*.py"), *(ROOT / "wsvs/video").glob("*.py")]))
def test_networks_and_videos_know_no_command_line(path):
    """Their errors have a kind, for which wsvs/engine/explain.py has the advice."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    assert [text for text in texts if ADVICE.search(text)] == []
