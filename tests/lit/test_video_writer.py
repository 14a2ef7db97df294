"""Videos written frame by frame."""

from __future__ import annotations

import av
import numpy as np
import pytest

from wsvs.lit.overlay import open_writer


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 33), (1, 1)])
def test_images_come_back_with_their_times(tmp_path, height, width):
    pictures = [np.full((height, width, 3), 40 * k, np.uint8) for k in range(4)]
    with open_writer(tmp_path / "deep" / "f.mp4", 10.0) as add:
        for one in pictures:
            add(one)
    with av.open(str(tmp_path / "deep" / "f.mp4")) as film:
        stream = film.streams.video[0]
        frames = list(film.decode(stream))
        assert [float(frame.pts * stream.time_base) for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3])
    found = np.stack([frame.to_ndarray(format="rgb24") for frame in frames]).astype(int)
    assert found.shape == (4, height + height % 2, width + width % 2, 3)
    assert np.abs(found[:, 0, 0, 0] - [0, 40, 80, 120]).max() < (6 if height > 1 else 70)  # a pixel blends with white


def test_nothing_is_left_of_a_video_that_fails(tmp_path):
    def write():
        with open_writer(tmp_path / "f.mp4", 10.0) as add:
            add(np.zeros((16, 16, 3), np.uint8))
            raise OSError(28, "full")

    with pytest.raises(Exception, match="no space left"):
        write()
    assert list(tmp_path.iterdir()) == []
