"""Completion by the tab key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import MissingConfigException

from wsvs.config.files import config_dir
from wsvs.engine.command import register_resolvers


@pytest.fixture
def program(tmp_path):
    """A folder with the console script `wsvs`, as pip installs it."""
    script = tmp_path / "bin" / "wsvs"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom wsvs.cli import main\nmain()\n")
    script.chmod(0o755)
    return script


@pytest.mark.parametrize(
    ("line", "some", "none"),
    [
        ("wsvs sta", ["stage="], "model="),
        ("wsvs stage=re", ["stage=relevance", "stage=report"], "stage=data"),
        ("wsvs stage=segment segment.fl", ["segment.flow=", "segment.floor_a="], "segment.gain="),
        ("wsvs stage=encoder model=s", ["model=squeezenet1_1"], "model=settings"),
        ("wsvs stage=data data=", ["data=tags", "data=voc12"], "data=world"),
        ("wsvs -m stage=decoder sweep=se", ["sweep=search", "sweep=seeds"], "sweep=terms"),
    ],
)
def test_a_shell_completes_words(program, line, some, none):
    """The question as bash asks it, through the function that `install` gives it."""
    root = Path(__file__).parents[1]
    asked = f"""eval "$(wsvs -sc install=bash)"; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}
        words=($COMP_LINE); COMP_CWORD=$((${{#words[@]}} - 1)); hydra_bash_completion
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", asked],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(root)},
        cwd=program.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    words = done.stdout.split()
    assert set(some) <= set(words) and none not in words, done.stdout + done.stderr
    assert list(program.parent.iterdir()) == [program]  # no run, nothing written


@pytest.mark.parametrize(
    "folder",
    [path for path in config_dir().iterdir() if path.is_dir() and path.name != "hydra"],
    ids=lambda path: path.name,
)
def test_the_options_of_a_group_are_its_files_in_conf(folder):
    """What the tab key offers, and the message that lists the options."""
    register_resolvers()
    GlobalHydra.instance().clear()
    words = [*(["stage=data"] if folder.name != "stage" else []), f"{folder.name}=none_of_this_name"]
    with initialize_config_dir(str(config_dir()), version_base="1.3"), pytest.raises(MissingConfigException) as refused:
        compose("config", words)
    assert set(refused.value.options) == {path.stem for path in folder.glob("*.yaml")}


def test_completion_imports_nothing_heavy(program):
    code = (
        "import sys; sys.argv = ['wsvs', '-sc', 'query=bash']\nfrom wsvs.cli import main\ntry: main()\n"
        "except SystemExit: assert not {'torch', 'numpy', 'lightning', 'rich'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "COMP_LINE": "wsvs stage="},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "stage=encoder" in done.stdout, done.stderr
