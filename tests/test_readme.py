"""Every command in README and docs is one that exists and composes; tests/test_commands.py runs them."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from docs import settings
from tests.pages import PAGES, ROOT, commands, write_files
from wsvs.config.check import all_keys
from wsvs.config.files import config_dir
from wsvs.config.groups import TaggedData
from wsvs.engine import registry
from wsvs.engine.command import register_resolvers
from wsvs.engine.names import stage_names

ALL = [pytest.param(page, line, id=f"{page.name}: {line[:60]}") for page in PAGES for line in commands(page)]


@pytest.fixture
def modules_of_pages(tmp_path: Path) -> Iterator[None]:
    """Plugins of a page are imported again for each command; in a copy of sys.modules torch could not be imported."""
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.usefixtures("modules_of_pages")
@pytest.mark.parametrize(("page", "line"), ALL)
def test_command_exists(page: Path, line: str, tmp_path: Path, monkeypatch):
    words = shlex.split(line)
    while words and "=" in words[0] and not words[0].startswith("wsvs"):
        words = words[1:]  # VARIABLE=value before the command
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    elif words[0] in ("wsvs", ".venv/bin/wsvs", "sbatch"):
        if words[0] == "sbatch":
            words = from_script(words)
        overrides = [word for word in words[1:] if "=" in word]
        # a sweep gives several values to a key; each of its jobs gets one
        single = [re.sub(r"=([^\[{'\"]*?),.*", r"=\1", word) if "-m" in words else word for word in overrides]
        if "--config-dir" in words:
            write_files(page, tmp_path)
            single.append(f"hydra.searchpath=[file://{tmp_path / words[words.index('--config-dir') + 1]}]")
        if any(word.startswith("plugins=") for word in overrides):
            write_files(page, tmp_path)
            monkeypatch.syspath_prepend(tmp_path)
            monkeypatch.setattr(registry, "STAGES", {})
        monkeypatch.setattr(sys, "argv", ["wsvs", *overrides])
        register_resolvers()
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            cfg = compose("config", overrides=single)
        assert cfg.stage in stage_names()
    else:
        assert words[0] in ("python", ".venv/bin/python", "git", "cd"), f"README names an unknown command: {line}"


def from_script(words: list[str]) -> list[str]:
    """What a script of docs/slurm hands to wsvs; of an array, with the settings of its last task."""
    start = next(place for place, word in enumerate(words[1:], 1) if not word.startswith("--"))
    assert (ROOT / words[start]).is_file()
    tasks = [re.fullmatch(r"--array=0-(\d+)", word) for word in words[:start]]
    if not any(tasks):
        return words[start:]
    last = max(int(task[1]) for task in tasks if task)
    jobs = (ROOT / words[start + 1]).read_text().splitlines()
    assert len(jobs) == last + 1
    return [*words[start + 1 :], *jobs[last].split()]


def test_overview_names_every_stage():
    text = (ROOT / "docs" / "start.md").read_text()
    assert [stage for stage in stage_names() if f"| `{stage}` |" not in text] == []


def test_readme_is_about_a_screen():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 70


def test_links_lead_to_files_that_exist():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_tables_of_settings_are_those_of_conf():
    text = settings.PAGE.read_text()
    assert text == settings.page(text), "wsvs/config has changed: python docs/settings.py writes the tables again"


def test_tables_show_every_setting_and_what_it_is():
    shown = re.findall(r"^\| `([\w.]+)` \| `.*` \| (.+) \| (.+) \|$", settings.PAGE.read_text(), re.MULTILINE)
    keys = [key for key, *_ in shown]
    assert len(keys) == len(set(keys))
    apart = ("inputs.", "logger", "data", "debug")  # named alike for every stage, or on other pages
    wanted = {key for key in all_keys() - {"retrieve"} if "_target_" not in key and not key.startswith(apart)}
    assert {key for key in keys if not key.startswith("data.")} == wanted
    assert {f"data.{key}" for key in TaggedData.defaults() if key != "_target_"} <= set(keys)
