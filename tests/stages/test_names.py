"""Names and folders of runs that would write elsewhere than they say."""

from __future__ import annotations

import pytest

from wsvs.config.check import check


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["name="], "name is empty"),
        (["name=../x"], "name is a path"),
        (["name=a/b"], "name is a path"),
        (["name=.x"], "name begins with a dot"),
        (["out="], "out is not a folder"),
        (["out='~/x'"], "out is not a folder"),
        (["-m", "name=../x", "seed=1,2"], "name is a path"),
        (["-m", "sweep=search", "hydra.sweeper.study_name=../x"], "hydra.sweeper.study_name is a path"),
    ],
)
def test_names_that_would_write_elsewhere_are_refused(wsvs, tmp_path, words, said):
    status, _, err = wsvs("stage=decoder", "data.root=images", *words)
    assert status == 2 and err.startswith(f"error: {said}") and "  next:  " in err
    assert not any(tmp_path.iterdir())


def test_a_run_id_that_would_write_elsewhere_is_refused(wsvs):
    status, _, err = wsvs("stage=encoder", "data.root=images", run_id="../../../x")
    assert status == 2 and err.startswith("error: WSVS_RUN_ID is a path")


def test_the_home_folder_is_put_in_for_a_tilde(composed, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    words = ["stage=data", "data.root='~/my images'", "retrieve.root='~/v'", "name=n"]
    cfg = composed(*words)
    check(cfg, words)
    assert (cfg.data.root, cfg.retrieve.root, cfg.name) == ("/home/me/my images", "/home/me/v", "n")
