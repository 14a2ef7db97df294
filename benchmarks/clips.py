"""The videos of the benchmark: real videos with masks, or a moving ellipse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from wsvs.core.masks import read_mask
from wsvs.video.reader import read_frames

HEIGHT, WIDTH = 480, 854
SEQUENCES = 5  # of a folder of real videos, evenly spread over the names


@dataclass(frozen=True)
class Clip:
    """A video file and the true masks (T, H, W) bool of its first T frames, at the file's own size."""

    file: Path
    truth: np.ndarray

    def frames(self, longest_edge: int) -> np.ndarray:
        """(T, h, w, 3) uint8 RGB."""
        return np.stack(list(read_frames(self.file, 0, len(self.truth), longest_edge=longest_edge)))

    def attention(self, longest_edge: int) -> np.ndarray:
        """(T, h, w) float32 in [0, 1]: what an encoder would see, the object without sharp borders."""
        height, width = self.truth.shape[1:]
        scale = min(1.0, longest_edge / max(height, width))
        size = (round(width * scale), round(height * scale))
        small = [cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) for mask in self.truth]
        return np.stack([cv2.GaussianBlur(mask, (0, 0), 0.03 * size[0]) for mask in small]).clip(0, 1)

    def shrunk(self, longest_edge: int, place: Path) -> Clip:
        """The same at another size, both sides even, written to the folder `place`."""
        frames = self.frames(longest_edge)
        frames = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
        write_video(place / self.file.name, frames)
        size = (frames.shape[2], frames.shape[1])
        masks = [cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT) for mask in self.truth]
        return Clip(place / self.file.name, np.stack(masks).view(bool))


def clips(real: Path | None, frames: int, place: Path) -> list[Clip]:
    """Real clips of a folder, or one synthetic clip, written to `place`."""
    if real is None:
        video, truth = moving_ellipse(frames, HEIGHT, WIDTH)
        write_video(place / "ellipse.mp4", video)
        return [Clip(place / "ellipse.mp4", truth)]
    files = sorted(file for file in real.glob("*.mp4") if (real / "masks" / file.stem).is_dir())
    if not files:
        raise SystemExit(f"no <name>.mp4 with masks/<name>/ in {real}")
    return [real_clip(file, frames) for file in files[:: max(1, len(files) // SEQUENCES)][:SEQUENCES]]


def real_clip(file: Path, frames: int | None) -> Clip:
    """The first `frames` frames of a video that have a mask; None: all."""
    masks = sorted((file.parent / "masks" / file.stem).glob("*.png"))[:frames]
    return Clip(file, np.stack([read_mask(mask) > 0 for mask in masks]))


def write_video(path: Path, video: np.ndarray) -> None:
    """(T, H, W, 3) uint8 RGB with even sides as H.264, compressed as web videos are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "23", "threads": "1"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = video.shape[1], video.shape[2], "yuv420p"
        for frame in video:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))


def moving_ellipse(frames: int, height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A textured ellipse that crosses a textured background, which itself pans; with a little sensor noise.

    Returns:
        (T, H, W, 3) uint8 RGB and (T, H, W) bool, the ellipse.
    """
    rng = np.random.default_rng(seed)
    ground = _texture(rng, height + frames, width + frames, (90, 120, 70))
    skin = _texture(rng, height, width, (170, 90, 60))
    y, x = np.mgrid[:height, :width]
    clip, masks = [], []
    for t in range(frames):
        centre = (0.5 + 0.1 * np.sin(t / 8)) * height, (0.25 + 0.5 * t / max(frames - 1, 1)) * width
        mask = ((y - centre[0]) / (0.27 * height)) ** 2 + ((x - centre[1]) / (0.17 * width)) ** 2 <= 1
        shift = (round(centre[0]), round(centre[1]))
        frame = np.where(mask[..., None], np.roll(skin, shift, (0, 1)), ground[t : t + height, t : t + width])
        clip.append(np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8))
        masks.append(mask)
    return np.stack(clip), np.stack(masks)


def _texture(rng: np.random.Generator, height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """(H, W, 3) float: noise of three grain sizes around a colour."""
    texture = np.zeros((height, width, 3)) + colour
    for sigma, contrast in ((4, 18), (16, 25), (60, 25)):
        grain = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), sigma)
        texture += contrast * grain / grain.std()
    return texture
