"""The tables of settings in docs/stages.md, from wsvs/config/: python docs/settings.py writes them again."""

from __future__ import annotations

import re
from pathlib import Path

from wsvs.config.help import Row, rows

PAGE = Path(__file__).parent / "stages.md"
BLOCK = re.compile(r"(<!-- settings: (.+?) -->\n).*?(<!-- end of settings -->)", re.DOTALL)


def table(settings: list[Row]) -> str:
    lines = ["| setting | default | values | meaning |", "|---|---|---|---|"]
    for key, default, values, unit, meaning in settings:
        unit = f"; {unit}" if unit else ""
        lines.append(f"| `{key}` | `{default}` | {values}{unit} | {meaning} |".replace("<", "&lt;"))
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the tables as the settings are now. A block names sections and settings, split by commas."""

    def fill(block: re.Match[str]) -> str:
        return block[1] + table([row for name in block[2].split(", ") for row in rows(name)]) + block[3]

    return BLOCK.sub(fill, text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
