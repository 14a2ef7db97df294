"""What Hydra calls around a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from wsvs.core import runs
from wsvs.stages import _status


class CountSweep(Callback):
    """Learns from the summaries what the jobs passed over: a launcher may have run them in other processes."""

    def on_multirun_end(self, config: Any, **_: Any) -> None:
        for summary in Path(config.hydra.sweep.dir).glob(f"*/{runs.SUMMARY}"):
            if runs.read_summary(summary.parent)["counts"].get("passed over"):
                _status.add(_status.PASSED_OVER)
