"""Rules of the code's structure: imports point one way, some layers need no torch, files stay short."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "wsvs"

# Layer -> the layers it may import besides itself.
MIDDLE = {"config", "core", "records"}
ALLOWED = {
    "config": {"core"},
    "core": set(),
    "records": {"core"},
    "retrieve": MIDDLE,
    "video": MIDDLE,
    "nets": MIDDLE,
    "metrics": MIDDLE,
    "data": MIDDLE,
    "lit": {*MIDDLE, "retrieve", "video", "nets", "metrics", "data"},
    "report": {*MIDDLE, "retrieve", "video", "metrics", "data"},
    "engine": {*MIDDLE, "retrieve", "nets", "data", "lit"},
    "stages": {*MIDDLE, "retrieve", "video", "nets", "metrics", "data", "lit", "report", "engine"},
    "api": {*MIDDLE, "nets", "data", "lit", "video"},
    "cli": {"config", "core", "engine"},
    "__main__": {"cli"},
}
LATE = {  # what takes seconds to import: a stage is there without it until it runs
    "torch",
    "lightning",
    "numba",
    "cv2",
    "scipy",
    "sklearn",
    "timm",
}
EXCEPTIONS = {("data", "wsvs.video.reader")}  # frames are read by data loaders
NO_TORCH = ("config", "core", "records", "retrieve", "video", "metrics")
TORCH = {"torch", "lightning", "pytorch_lightning", "torchmetrics", "torchvision"}
LONGEST_FILE = {"wsvs": 350, "benchmarks": 350, "tests": 400}


def imports(source: str, package: str) -> set[str]:
    """Full dotted names that a module of `package` imports, wherever in the module; `from a import b` gives a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def layer_of(name: str) -> str | None:
    """Layer of a dotted name inside the package, None for the package's own names (wsvs.__version__)."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "wsvs" and parts[1] in ALLOWED else None


def breaches(layer: str, module: str, names: set[str]) -> list[str]:
    """What a module of a layer imports against the rules."""
    found = []
    for name in sorted(names):
        target = layer_of(name)
        excepted = any(layer == who and f"{name}.".startswith(f"{what}.") for who, what in EXCEPTIONS)
        if target not in (None, layer) and target not in ALLOWED[layer] and not excepted:
            found.append(f"layer {layer} must not import {name}")
        if layer in NO_TORCH and name.split(".")[0] in TORCH:
            found.append(f"layer {layer} must not import {name}")
        if layer == target == "stages" and module != "pipeline":
            other = name.split(".")[2] if name.count(".") >= 2 else ""
            if (PACKAGE / "stages" / f"{other}.py").is_file() and not other.startswith("_") and other != module:
                found.append(f"stage {module} must not import stage {other}: stages meet through files")
    return found


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_every_layer_is_known():
    places = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()}
    assert places - set(ALLOWED) == {"__init__"}
    assert len(modules()) > 20


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts == ("wsvs", "__init__"):
        tree = ast.parse(path.read_text())
        tree.body = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.If)]  # late, or for mypy
        assert imports(ast.unparse(tree), "wsvs") <= {
            "__future__.annotations",
            "typing.TYPE_CHECKING",
            "typing.Literal",
        }
        return
    found = imports(path.read_text(), ".".join(parts[:-1]))
    assert breaches(parts[1], parts[-1], found) == []


def test_no_module_imports_itself_by_way_of_others():
    """Imports within functions and for types alone count, too."""
    dotted = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in modules()]
    names = dict(zip(dotted, modules(), strict=True))
    graph = {}
    for name, path in names.items():
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        found = imports(path.read_text(), package)
        graph[name] = {one if one in names else one.rpartition(".")[0] for one in found} & set(names) - {"wsvs", name}
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_a_stage_is_found_and_told_without_what_takes_seconds():
    code = (
        "import sys\nfrom wsvs.engine.names import stage_names\nfrom wsvs.engine.registry import load_stage\n"
        f"for name in stage_names(): load_stage(name)\nprint(sorted({LATE} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


@pytest.mark.parametrize(
    ("layer", "module", "source", "expected"),
    [
        ("core", "files", "from wsvs.video import flow", "layer core must not import wsvs.video.flow"),
        ("core", "files", "def f():\n    import torch.nn", "layer core must not import torch.nn"),
        ("video", "flow", "from ..nets import model", "layer video must not import wsvs.nets.model"),
        ("nets", "model", "import wsvs.lit", "layer nets must not import wsvs.lit"),
        ("data", "shots", "from wsvs.video import flow", "layer data must not import wsvs.video.flow"),
        ("data", "shots", "from wsvs.video.reader import read\nimport torch", None),
        ("data", "shots", "from wsvs.video import reader", None),
        ("lit", "encoder", "from wsvs.stages import encoder", "layer lit must not import wsvs.stages.encoder"),
        ("report", "page", "from wsvs.stages import STAGES", "layer report must not import wsvs.stages.STAGES"),
        ("stages", "decoder", "from wsvs.stages import encoder", "stage decoder must not import stage encoder"),
        ("stages", "decoder", "from wsvs.stages.encoder import run", "stage decoder must not import stage encoder"),
        ("stages", "decoder", "from wsvs.engine.run import Run\nfrom wsvs.lit import x", None),
        ("stages", "pipeline", "from wsvs.stages import encoder", None),
        ("metrics", "video", "from wsvs import __version__\nfrom wsvs.core.files import x\nimport numpy", None),
    ],
)
def test_the_rule_itself(layer, module, source, expected):
    found = breaches(layer, module, imports(source, f"wsvs.{layer}"))
    assert found == [] if expected is None else found and found[0].startswith(expected)


@pytest.mark.parametrize("layer", NO_TORCH)
def test_layer_runs_without_torch(layer):
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in modules()
        if path.relative_to(PACKAGE).parts[0] == layer
    ]
    code = f"import sys, {', '.join(names) or 'wsvs'}; print(sorted({TORCH} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


@pytest.mark.parametrize("folder", LONGEST_FILE)
def test_files_are_short(folder):
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE[folder]} == {}


@pytest.mark.parametrize(
    "words",
    [
        ("stage=encoder", "data.root=x", "--cfg", "job"),
        ("stage=encoder", "encoder.lr=fast"),
        ("stage=segment", "--help"),
        ("stage=segment", "segment.flou=1"),
        ("stage=encoder", "data.root=nowhere"),
        ("stage=predict", "input=nowhere"),
        ("stage=segment", "videos=x"),
        ("stage=pipeline", "data.root=x"),
        ("stage=evaluate", "predictions=nowhere"),
        ("stage=decoder", "name=new"),
    ],
    ids=" ".join,
)
def test_heavy_libraries_wait_for_settings_paths_and_runs(words, tmp_path):
    """Torch, Lightning, numba, OpenCV and SciPy take seconds to import: what can be refused is refused before."""
    code = (
        "import sys, wsvs.__main__ as command\n"
        "command.leave = lambda *_: None\n"
        "try: command.main()\n"
        "except SystemExit: pass\n"
        "print('heavy:', *[m for m in ('torch', 'lightning', 'numba', 'cv2', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "heavy:", done.stderr
