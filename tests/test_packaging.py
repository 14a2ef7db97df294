"""The source archive and the wheel made from it: what is in it, and that it works where there is no checkout."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import wsvs
from wsvs.core import extras

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {*PROJECT["optional-dependencies"]}


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from the source archive, as by who installs that: what is missing there is missing here."""
    folder = tmp_path_factory.mktemp("wheel")
    pack = f"from hatchling.build import build_sdist; build_sdist({str(folder)!r})"
    done = run(sys.executable, "-c", pack, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    [archive] = folder.glob("wsvs-*.tar.gz")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    done = run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, archive, cwd=folder)
    assert done.returncode == 0, done.stderr
    [path] = folder.glob("wsvs-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The wheel unpacked into a folder of its own; the environment only lends it the other packages."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    done = run(*pip, "install", "--no-deps", "--no-index", "--target", folder, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_wheel_holds_the_code_the_configuration_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"wsvs-{wsvs.__version__}.dist-info/METADATA").decode()
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "wsvs").rglob("*.py")}
    here |= {f"wsvs/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "conf").rglob("*.yaml")}
    here.add("hydra_plugins/wsvs_search/__init__.py")
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "wsvs/report/templates").iterdir()}
    assert {"page.html.j2", "page.css", "page.js"} <= {Path(name).name for name in templates}
    here |= templates | {"wsvs/core/fonts/DejaVuSans.ttf", "wsvs/core/fonts/LICENSE", "wsvs/py.typed"}
    assert "wsvs/conf/config.yaml" in here
    assert {name for name in names if ".dist-info/" not in name} == here
    assert {f"wsvs-{wsvs.__version__}.dist-info/licenses/{name}" for name in PROJECT["license-files"]} <= names
    assert f"Version: {wsvs.__version__}\n" in metadata
    assert "License-Expression: Apache-2.0 AND Bitstream-Vera\n" in metadata


@pytest.mark.slow
def test_installed_wheel_is_the_one_that_is_imported(installed, tmp_path):
    place = run(sys.executable, "-c", "import wsvs; print(wsvs.__file__)", cwd=tmp_path, PYTHONPATH=str(installed))
    assert Path(place.stdout.strip()) == installed / "wsvs" / "__init__.py"


@pytest.mark.slow
def test_installed_wheel_lists_the_stages(installed, tmp_path):
    bare = run(installed / "bin" / "wsvs", cwd=tmp_path, PYTHONPATH=str(installed))
    assert bare.returncode == 2 and "wsvs stage=<name>" in bare.stdout + bare.stderr


@pytest.mark.slow
def test_installed_wheel_shows_its_configuration(installed, tmp_path):
    words = ("stage=encoder", "--cfg", "job")
    shown = run(installed / "bin" / "wsvs", *words, cwd=tmp_path, PYTHONPATH=str(installed))
    assert shown.returncode == 0, shown.stderr
    assert "stage: encoder\n" in shown.stdout
    assert not (tmp_path / "outputs").exists()  # nothing was run


def test_version_is_one_number():
    assert re.fullmatch(r"\d+\.\d+\.\d+", wsvs.__version__)
    assert PROJECT["dynamic"] == ["version"]


def requirements(*extras: str) -> dict[str, Requirement]:
    """Declared dependencies by canonical name, with those of some extras."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    found = [Requirement(text) for one in lists for text in one if not text.startswith("wsvs[")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def test_pins_satisfy_the_bounds():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    for name, requirement in requirements(*EXTRAS - {"timm"}).items():
        assert name in pins, f"{name} is not in requirements.lock"
        assert requirement.specifier.contains(pins[name]), f"{requirement} is pinned to {pins[name]}"
    assert "torchvision" not in pins


def test_all_and_dev_bring_every_extra():
    """`make setup` installs the lock file: it has all of them but timm, which needs torchvision."""
    given = PROJECT["optional-dependencies"]
    whole = {extra for text in given["all"] for extra in Requirement(text).extras}
    assert whole == EXTRAS - {"all", "dev"}
    assert {extra for text in given["dev"] for extra in Requirement(text).extras} == whole - {"timm"}
    assert {extra for _, extra in extras.EXTRAS.values()} <= whole
    for name, extra in extras.EXTRAS.values():
        assert canonicalize_name(name) in requirements(extra) and canonicalize_name(name) not in requirements()


LICENCES = ("MIT", "BSD", "Apache", "MPL", "PSF", "ISC", "HPND", "MIT-CMU", "Python Software Foundation")


def test_no_gpl_package_comes_without_an_extra():
    """All that `pip install .` brings, whatever brings it in."""
    found, left = set(), [requirement.name for requirement in requirements().values()]
    while left:
        name = canonicalize_name(left.pop())
        if name in found:
            continue
        found.add(name)
        needed = map(Requirement, distribution(name).requires or ())
        left += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    assert {"torch", "scipy"} <= found and not {"pymaxflow", "wandb", "yt-dlp"} & found
    for name in sorted(found):
        about = distribution(name).metadata
        said = [about.get("License-Expression") or "", *about.get_all("Classifier", [])]
        said.append((about.get("License") or "").strip().partition("\n")[0])
        text = " ".join(line for line in said if not line.startswith(("Programming", "Topic", "Operating")))
        assert not re.search(r"\bGPL|GNU General|Affero|Lesser", text), f"{name}: {text}"
        if not name.startswith(("nvidia-", "cuda-")):  # what torch brings where it can use CUDA has NVIDIA's own
            assert re.search("|".join(LICENCES), text), f"{name}: {text}"


def test_every_imported_package_is_declared():
    imported = set()
    for path in (ROOT / "wsvs").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    imported -= set(sys.stdlib_module_names) | {"wsvs"}
    assert {"numpy", "torch", "cv2"} <= imported
    providers = packages_distributions()
    declared = {*requirements(*EXTRAS - {"dev"})}
    for name in sorted(imported):
        found = {canonicalize_name(provider) for provider in providers.get(name, [name])}
        assert found & declared, f"wsvs imports {name}, which pyproject.toml does not declare"


def test_every_dependency_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text()
    start = text.index("dependencies = [")
    body = text[start : text.index("[project.scripts]")]
    lines = [line for line in body.splitlines() if line.strip().startswith('"')]
    assert len(lines) > 15
    assert [line for line in lines if not re.search(r'",\s+# \w', line)] == []
