"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real images, videos and weights; tests that need it skip where it is not set."""
    place = os.environ.get("WSVS_REAL_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("WSVS_REAL_DATA is not set to a folder with the real data")
    return Path(place)
