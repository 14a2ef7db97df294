"""Which stage's checkpoint stage predict takes."""

from __future__ import annotations

from wsvs.config.stages import PredictSettings
from wsvs.core.files import write_json
from wsvs.core.runs import Home
from wsvs.stages.predict import Settings, needs


def asked(tmp_path, method="decoder", model="auto", checkpoint=None, **inputs):
    predict = PredictSettings(method=method, model=model, checkpoint=checkpoint)
    return needs(Settings(predict, None, None, "32-true", True), Home(str(tmp_path), "n", given=inputs))


def test_which_checkpoint_is_used(tmp_path):
    def finish(stage, debug=False):
        write_json(tmp_path / "n" / stage / "r" / "summary.json", {"finished": 1.0, "debug": debug})

    assert asked(tmp_path) == ("decoder",) and asked(tmp_path, method="attention") == ("encoder",)
    finish("adapt", debug=True)
    finish("decoder")
    assert asked(tmp_path) == asked(tmp_path, method="attention") == ("decoder",)  # debug runs are never taken
    finish("adapt")
    assert asked(tmp_path) == ("adapt",)
    assert asked(tmp_path, model="encoder", method="attention") == ("encoder",)
    assert asked(tmp_path / "other", adapt="somewhere") == ("adapt",)
    assert asked(tmp_path, checkpoint="x.ckpt") == ()
