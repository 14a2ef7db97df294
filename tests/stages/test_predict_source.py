"""Which stage's checkpoint stage predict takes."""

from __future__ import annotations

from omegaconf import OmegaConf

from wsvs.core.files import write_json
from wsvs.stages.predict import needs


def asked(tmp_path, method="decoder", model="auto", checkpoint=None, **inputs):
    return needs(OmegaConf.create({
        "out": str(tmp_path), "name": "n", "debug": False, "inputs": {"adapt": None, "decoder": None, **inputs},
        "predict": {"method": method, "model": model, "checkpoint": checkpoint},
    }))


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
