"""What README and docs show: their commands, and the files that they tell a user to write."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """Lines of the page's bash blocks, continued lines joined, comments left out."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [line for line in (line.split("  #")[0].strip() for line in lines) if line and not line.startswith("#")]


def write_files(page: Path, folder: Path) -> list[Path]:
    """Write the page's Python and YAML blocks that begin with a file's name in a comment."""
    written = []
    for language, ending in (("python", "py"), ("yaml", "yaml")):
        for block in blocks(page, language):
            named = re.match(rf"# ([\w/]+\.{ending})\n", block)
            if named:
                path = folder / named[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block[named.end() :])
                written.append(path)
    return written
