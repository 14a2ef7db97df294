"""Tables of all settings for docs/stages.md, from the comments in conf/: python docs/knobs.py writes them anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "stages.md"
BLOCK = re.compile(r"(<!-- knobs: (.+?) -->\n).*?(<!-- end of knobs -->)", re.DOTALL)
LINE = re.compile(r"( *)(\w+):(?: +(.*?))??\s*(?: # *(.*)|$)")
GROUPS = ("data/tags", "model/vgg16", "retrieve/folder", "retrieve/urls", "retrieve/youtube", "trainer/default")
APART = ("defaults", "hydra", "inputs")  # runs to read are named alike for every stage

Knob = tuple[str, str, str]  # key, default, what it is


def read_knobs(path: Path, prefix: str = "") -> Iterator[Knob]:
    """Every key of a file that has a value, with its comment."""
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        found = LINE.fullmatch(line)
        if not found or line.lstrip().startswith(("#", "-")):
            continue
        indent, key, value, comment = found.groups()
        if not indent:
            section = "" if value else key + "."
        if value and section[:-1] not in APART and not key.startswith("_"):
            yield f"{prefix}{section if indent else ''}{key}", value, comment or ""


def all_knobs() -> dict[str, list[Knob]]:
    """{'encoder' or 'model/vgg16' or the name of a key without a section: its knobs}."""
    found: dict[str, list[Knob]] = {}
    for knob in read_knobs(ROOT / "conf" / "config.yaml"):
        found.setdefault(knob[0].partition(".")[0], []).append(knob)
    for group in GROUPS:
        found[group] = list(read_knobs(ROOT / "conf" / f"{group}.yaml", group.partition("/")[0] + "."))
    return found


def table(knobs: list[Knob]) -> str:
    rows = ["| setting | default | |", "|---|---|---|"]
    for key, value, comment in knobs:
        rows.append(f"| `{key}` | `{value}` | {comment.replace('<', '&lt;')} |")
    return "\n".join(rows) + "\n"


def page(text: str) -> str:
    """The page with the tables as conf/ is now. A block names sections and keys, split by commas."""
    known = all_knobs()

    def fill(block: re.Match[str]) -> str:
        knobs: dict[tuple[str, str], Knob] = {}  # sources of videos share keys: each stands once
        for name in block[2].split(", "):
            for knob in known[name]:
                knobs.setdefault(knob[:2], knob)
        return block[1] + table(list(knobs.values())) + block[3]

    return BLOCK.sub(fill, text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
