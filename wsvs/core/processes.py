"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import os
import threading
import time


def end_with(parent: int, every: float = 1.0) -> None:
    """End this process when `parent`, which started it, is gone, killed perhaps: nobody else would ever end it.

    Args:
        parent: Process id. If it is gone already, this process ends at once.
        every: Seconds between two looks.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
