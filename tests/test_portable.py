"""Systems without fcntl, fork and user ids, such as Windows: import, help and checks of settings work."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wsvs.core import leases, locks

ROOT = Path(__file__).parents[1]
POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
HIDE = f"""
import os, sys
sys.modules |= dict.fromkeys({sorted(POSIX_ONLY - {"posix"})})
for name in ("fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "register_at_fork", "killpg", "setsid"):
    delattr(os, name)
import wsvs.__main__ as command
command.main()
"""


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["--help"], 0, "stages:"),
        ([], 2, "stages:"),
        (["stage=segment", "--help"], 0, "segment.solver"),
        (["stage=encoder", "--cfg", "job"], 0, "stage: encoder"),
        (["stage=encoder", "encoder.epochs=-1"], 2, "encoder.epochs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_commands_without_fcntl_and_fork(words, status, expected, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", HIDE, *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert expected in done.stdout + done.stderr


def imported_at_once(source: str) -> set[str]:
    """Modules that are imported outside functions."""
    late = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    nodes: list[ast.AST] = [ast.parse(source)]
    found = set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
        nodes += [child for child in ast.iter_child_nodes(node) if not isinstance(child, late)]
    return found


def test_posix_modules_are_imported_inside_functions():
    assert imported_at_once("if 1:\n    import fcntl\ndef f():\n    import pwd") == {"fcntl"}
    found = {
        path.relative_to(ROOT).as_posix(): imported_at_once(path.read_text()) & POSIX_ONLY
        for path in (ROOT / "wsvs").rglob("*.py")
    }
    assert {name: modules for name, modules in found.items() if modules} == {}


def test_without_locks_gpus_are_shared_with_a_warning(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert not locks.available()
    assert not leases.can_lock()
    assert "cannot lock GPUs on this system" in caplog.text


def test_without_locks_a_lock_says_so(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with (tmp_path / "lock").open("w") as stream, pytest.raises(OSError, match=os.strerror(errno.ENOLCK)):
        locks.lock(stream)


LOCK_ELSEWHERE = """
import sys
from wsvs.core.locks import lock
with open(sys.argv[1], "a") as stream:
    print(lock(stream, start=int(sys.argv[2]), length=int(sys.argv[3])))
"""


@pytest.mark.parametrize(("start", "length", "free"), [(0, 1, False), (1, 1, True), (0, 0, False), (1, 0, True)])
def test_locks_of_bytes_hold_between_processes(tmp_path, start, length, free):
    path = tmp_path / "lock"
    with path.open("w") as stream:
        assert locks.lock(stream)
        locks.unlock(stream, start=1)  # byte 0 stays locked
        done = subprocess.run(
            [sys.executable, "-c", LOCK_ELSEWHERE, str(path), str(start), str(length)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.strip() == str(free)
