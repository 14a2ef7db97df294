"""The Dockerfile: it copies what the package is built from, which the builder gets, and it installs existing extras."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COPIED = [word for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()]


def test_the_builder_gets_what_is_copied_alone():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert lines[1] == "*" and sorted(kept) == sorted(COPIED)
    assert all((ROOT / name).exists() for name in COPIED)


def test_a_container_has_existing_extras_but_timm():
    extras = re.findall(r"^ARG EXTRAS=(.+)$", DOCKERFILE, re.MULTILINE)[0].split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [everything] = project["optional-dependencies"]["all"]
    assert set(extras) == Requirement(everything).extras - {"timm"}


def test_a_container_pins_torch_and_python():
    assert re.search(r"^torch==\d", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert re.search(r"^FROM python:3\.\d+\.\d+-", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["wsvs"]


@pytest.mark.slow
def test_the_copied_files_suffice_for_the_wheel(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in COPIED:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation")
    done = subprocess.run([*pip, "--no-index", "-w", tmp_path, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("wsvs-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"wsvs/cli.py", "wsvs/conf/config.yaml", "hydra_plugins/wsvs_search/__init__.py"} <= names
