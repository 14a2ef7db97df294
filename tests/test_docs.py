"""What README and docs state about settings, defaults and files is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.pages import PAGES, ROOT
from wsvs.config.check import all_keys
from wsvs.config.help import rows

TEXTS = [*PAGES, ROOT / "CONTRIBUTING.md"]
KEYS = all_keys()
SECTIONS = {key.partition(".")[0] for key in KEYS if "." in key} - {"inputs"}
FILE_ENDINGS = ("json", "jsonl", "html", "yaml", "py", "csv", "tsv", "safetensors", "onnx", "pt2")
BEYOND = {"trainer.sync_batchnorm"}  # of Lightning, with + in front
FOLDERS = "wsvs|tests|docs|conf|benchmarks|notebooks"
DEFAULTS = {  # page -> section of its tables of defaults
    "predict.md": "predict",
    "report.md": "report",
    "retrieval.md": "retrieve",
}


def inline(page: Path) -> list[str]:
    """Code within sentences, without that in blocks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_settings_in_sentences_exist(page):
    for code in inline(page):
        for key in re.findall(r"(?<![\w./-])\+?([a-z_]+(?:\.[a-z_0-9]+)+)(?=[=\s]|$)", code):
            section, _, rest = key.partition(".")
            if section in SECTIONS and rest not in FILE_ENDINGS and key not in BEYOND:
                assert key in KEYS or any(one.startswith(f"{key}.") for one in KEYS), f"`{code}`: no setting {key}"


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_files_in_sentences_exist(page):
    for code in inline(page):
        if re.fullmatch(rf"(?:{FOLDERS})/[\w./-]+", code):
            assert (ROOT / code).exists(), f"`{code}` does not exist"


@pytest.mark.parametrize(("name", "section"), DEFAULTS.items())
def test_tables_show_the_defaults(name, section):
    """Words such as "none" and amounts such as "30 s" are compared by their number, if they have one."""
    known = {key: default for key, default, *_ in rows(section)}
    compared = 0
    for keys, shown in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", (ROOT / "docs" / name).read_text(), re.MULTILINE):
        for key in re.findall(r"`([\w.]+)`", keys):
            default = known.get(key, known.get(f"{section}.{key}"))
            shown_number = re.fullmatch(r"(\d[\d,.]*)( s)?", shown)
            if default is None or len(re.findall("`", keys)) != 2:
                continue
            if shown_number:
                assert float(shown_number[1].replace(",", "")) == float(default), key
                compared += 1
            elif re.fullmatch(r"true|false|null|\[.*\]|[a-z]+", shown) and name != "retrieval.md":
                assert yaml.safe_load(shown) == yaml.safe_load(default), key
                compared += 1
    assert compared >= 3


def test_make_targets_in_texts_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in TEXTS:
        for target in re.findall(r"(?:^|`)make ([a-z]+)\b", page.read_text(), re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"
