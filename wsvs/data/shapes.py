"""Drawing for the synthetic data set: creatures that differ only in their heads, distractors, backgrounds.

Objects are drawn as textured polygons. The canvas also stores the coverage of every pixel by each object, so that
contours are anti-aliased in the image and the true mask is exact: the pixels that an object covers by at least half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np

SUPERSAMPLING = 4
PATCH = 48  # pixels of a texture per object unit; a creature's body is one unit long
_GROUNDS = {  # two tones, RGB
    "meadow": ((96, 140, 62), (138, 168, 84)),
    "sand": ((196, 172, 122), (222, 204, 158)),
    "water": ((58, 104, 146), (104, 150, 178)),
    "road": ((118, 118, 122), (152, 150, 148)),
}
_SKINS = ((92, 58, 36), (44, 42, 46), (206, 196, 180), (122, 62, 56), (98, 82, 118), (60, 86, 72))
_PAINTS = ((40, 180, 190), (190, 60, 160), (200, 190, 60), (60, 70, 170), (150, 200, 230))
Affine = np.ndarray  # (3, 3), acts on (x, y, 1)


class Canvas:
    """An image that is being drawn.

    Attributes:
        image: (H, W, 3) float32, 0 to 255.
        share: (1 + layers, H, W) float32, each layer's share of a pixel; layer 0 is the background. Sums to 1.
    """

    def __init__(self, background: np.ndarray, layers: int) -> None:
        self.image = background.astype(np.float32)
        self.share = np.zeros((1 + layers, *background.shape[:2]), np.float32)
        self.share[0] = 1

    def draw(self, layer: int, polygon: np.ndarray, patch: np.ndarray, place: Affine) -> None:
        """Draw a polygon (N, 2) in the units of a part, filled with its patch, under the transform to pixels."""
        height, width = self.image.shape[:2]
        corners = transform(place, polygon)
        left, top = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0)
        right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int) + 2, (width, height))
        if right <= left or bottom <= top:
            return
        # Pixel centres have whole coordinates, so pixel 0 spans -0.5 to 0.5.
        fine = ((corners - (left, top) + 0.5) * SUPERSAMPLING - 0.5) * 256
        cover = np.zeros(((bottom - top) * SUPERSAMPLING, (right - left) * SUPERSAMPLING), np.uint8)
        cv2.fillPoly(cover, [np.round(fine).astype(np.int32)], 255, shift=8)
        cover = cv2.resize(cover, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        alpha = cover.astype(np.float32) / 255
        texture = warp(patch, shift(-left, -top) @ place @ patch_frame(patch), right - left, bottom - top)
        window = np.s_[top:bottom, left:right]
        self.image[window] += alpha[..., None] * (texture - self.image[window])
        self.share[:, top:bottom, left:right] *= 1 - alpha
        self.share[layer, top:bottom, left:right] += alpha


@dataclass(frozen=True)
class Part:
    """A textured polygon; `move` gives its placement in the object for a phase of the gait."""

    polygon: np.ndarray
    patch: np.ndarray
    move: Callable[[float], Affine] = field(default=lambda phase: np.eye(3))
    head: bool = False


@dataclass(frozen=True)
class Thing:
    """A creature or a distractor.

    Attributes:
        name: Its class; None for a distractor.
        parts: In drawing order, in object units: x forward, y down.
        area: Its area in square units.
        low, high: Corners of its bounding box in units.
    """

    name: str | None
    parts: Sequence[Part]
    area: float
    low: np.ndarray
    high: np.ndarray

    def draw(self, canvas: Canvas, layers: tuple[int, int], place: Affine, phase: float) -> None:
        """Draw it; `layers` are those of its body and of its head."""
        for part in self.parts:
            canvas.draw(layers[part.head], part.polygon, part.patch, place @ part.move(phase))


def make_thing(name: str | None, parts: Sequence[Part]) -> Thing:
    """Create an object, with its measured area and bounding box."""
    corners = np.concatenate([transform(part.move(0.0), part.polygon) for part in parts])
    low, high = corners.min(0) - 0.1, corners.max(0) + 0.1
    width, height = np.ceil((high - low) * PATCH).astype(int)
    canvas = Canvas(np.zeros((height, width, 3)), 1)
    for part in parts:
        canvas.draw(1, part.polygon, part.patch, scale(PATCH) @ shift(*-low) @ part.move(0.0))
    return Thing(name, parts, float(canvas.share[1].sum()) / PATCH**2, low + 0.1, high - 0.1)


def shift(x: float, y: float) -> Affine:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float)


def scale(x: float, y: float | None = None) -> Affine:
    return np.diag([x, x if y is None else y, 1.0])


def turn(angle: float) -> Affine:
    """Rotation by an angle in radians, clockwise as seen (y points down)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def transform(matrix: Affine, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def patch_frame(patch: np.ndarray) -> Affine:
    """Transform from pixels of a patch to units; the centre of the patch is the origin of the part."""
    height, width = patch.shape[:2]
    return scale(1 / PATCH) @ shift(-(width - 1) / 2, -(height - 1) / 2)


def warp(image: np.ndarray, matrix: Affine, width: int, height: int) -> np.ndarray:
    return cv2.warpAffine(image, matrix[:2], (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def noise(rng: np.random.Generator, height: int, width: int, cell: float) -> np.ndarray:
    """(height, width) float32 smooth noise with a standard deviation of about 1 and blobs of `cell` pixels."""
    grid = rng.standard_normal((int(height / cell) + 3, int(width / cell) + 3)).astype(np.float32)
    large = cv2.resize(grid, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
    return large[:height, :width] * 1.3


def oval(width: float, height: float, power: float = 2.0, points: int = 40) -> np.ndarray:
    """(points, 2) super-ellipse around the origin; a higher power is closer to a rectangle."""
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    circle = np.stack([np.cos(t), np.sin(t)], 1)
    return np.sign(circle) * np.abs(circle) ** (2 / power) * (width / 2, height / 2)


def limb(length: float, thick: float, thin: float) -> np.ndarray:
    """Tapered limb from the origin downwards, with a round end."""
    t = np.linspace(0, np.pi, 9)
    end = np.stack([np.cos(t) * thin / 2, length + np.sin(t) * thin / 2], 1)
    return np.concatenate([[[-thick / 2, -thick / 2], [thick / 2, -thick / 2]], end])


def ground(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(height, width, 3) float32 textured background: meadow, sand, water or road, with blotches."""
    kind = sorted(_GROUNDS)[rng.integers(len(_GROUNDS))]
    dark, light = (np.array(tone, np.float32) + rng.normal(0, 5, 3) for tone in _GROUNDS[kind])
    stretch = {"water": (1, 3), "meadow": (2, 1)}.get(kind, (1, 1))  # horizontal waves, vertical grass
    blend = np.zeros((height, width), np.float32)
    for cell, strength in ((26, 0.20), (9, 0.17), (4, 0.12)):
        tall, wide = height // stretch[0] + 1, width // stretch[1] + 1
        layer = noise(rng, tall, wide, cell / max(stretch))
        blend += strength * cv2.resize(layer, None, fx=stretch[1], fy=stretch[0])[:height, :width]
    image = dark + np.clip(0.5 + blend, 0, 1)[..., None] * (light - dark)
    canvas = Canvas(image, 1)
    for _ in range(int(height * width * 4e-4)):
        size = rng.uniform(5, 14)
        tone = (dark * 0.82 if rng.random() < 0.6 else light * 1.06) + rng.normal(0, 4, 3)
        patch = np.broadcast_to(tone, (2, 2, 3)).astype(np.float32)
        spot = shift(rng.uniform(0, width), rng.uniform(0, height)) @ turn(rng.uniform(0, np.pi)) @ scale(size)
        canvas.draw(1, oval(1, rng.uniform(0.5, 0.9)), patch, spot)
    return canvas.image


def skin(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Mottled patch of one colour, lit from above, 2.4 units square."""
    side = int(2.4 * PATCH)
    light = (
        1.06
        - 0.26 * np.linspace(-1, 1, side)[:, None]
        + 0.05 * noise(rng, side, side, 5)
        + 0.05 * noise(rng, side, side, 14)
    )
    return (np.clip(light, 0.5, 1.5)[..., None] * colour).astype(np.float32)


def pick_skin(rng: np.random.Generator, background: np.ndarray, contrast: float) -> np.ndarray:
    """A body colour, independent of the class, with at least this CIE Lab distance from the mean background."""
    order = rng.permutation(len(_SKINS))
    colours = np.array(_SKINS, np.float32)[order] + rng.normal(0, 6, (len(_SKINS), 3)).astype(np.float32)
    distance = np.linalg.norm(to_lab(colours) - to_lab(background[None]), axis=1)
    good = np.flatnonzero(distance >= contrast)
    return colours[good[0]] if len(good) else colours[distance.argmax()]


def to_lab(colours: np.ndarray) -> np.ndarray:
    """(N, 3) RGB, 0 to 255, to CIE Lab."""
    rgb = np.clip(colours, 0, 255).astype(np.float32)[None] / 255
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]


def face(rng: np.random.Generator, name: str) -> np.ndarray:
    """Texture of a head, 1 unit square: the only part that differs between classes."""
    y, x = np.mgrid[:PATCH, :PATCH].astype(np.float32) / (PATCH - 1) - 0.5
    wobble = 0.03 * noise(rng, PATCH, PATCH, 12)
    plain, mark, where = FACES[name](x + wobble, y + wobble, rng)
    blend = np.clip(where / 0.03 + 0.5, 0, 1)[..., None]
    light = 1 - 0.22 * y[..., None] + 0.03 * noise(rng, PATCH, PATCH, 5)[..., None]
    base = np.array(plain) + rng.normal(0, 6, 3)
    return (np.clip(light, 0.6, 1.3) * (base + blend * (np.array(mark) - base))).clip(0, 255).astype(np.float32)


Face = tuple[tuple[int, int, int], tuple[int, int, int], np.ndarray]  # base colour, colour and positions of the marks


def _tiger(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Face:
    return (232, 128, 30), (28, 22, 20), 0.22 * (np.sin(2 * np.pi * x / 0.2 + rng.uniform(0, 6)) - 0.25)


def _panda(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Face:
    eyes = [0.13 - np.hypot((x - a) * 1.1, y + 0.02) for a in (-0.15, 0.19)]
    ears = 0.08 - np.abs(y + 0.36)
    return (242, 240, 236), (24, 24, 28), np.maximum(np.maximum(*eyes), ears)


def _parrot(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Face:
    a, b = rng.uniform(0, 6, 2)
    spots = np.sin(2 * np.pi * x / 0.26 + a) * np.sin(2 * np.pi * y / 0.26 + b)
    return (214, 30, 36), (250, 214, 50), 0.25 * (spots - 0.3)


def _zebra(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Face:
    return (236, 234, 230), (30, 28, 30), 0.22 * np.sin(2 * np.pi * (x * 0.4 + y) / 0.24 + rng.uniform(0, 6))


FACES = {"tiger": _tiger, "panda": _panda, "parrot": _parrot, "zebra": _zebra}


def creature(rng: np.random.Generator, name: str, colour: np.ndarray, head: float) -> Thing:
    """A creature of a class. Colour, shape, legs and tail do not depend on the class; `head` is the head's radius."""
    hide = skin(rng, colour)
    height, hip = rng.uniform(0.5, 0.68), rng.uniform(0.24, 0.34)
    length, thick = rng.uniform(0.34, 0.5), rng.uniform(0.13, 0.18)
    stride, rhythm = rng.uniform(0.25, 0.5), rng.uniform(0, 6)
    nod = rng.uniform(0.02, 0.08)

    def leg(x: float, beat: float) -> Callable[[float], Affine]:
        return lambda p: shift(x, height * 0.3) @ turn(stride * np.sin(p + beat))

    def tail(p: float) -> Affine:
        return shift(-0.42, -height * 0.15) @ turn(1.2 + 0.35 * np.sin(0.7 * p + rhythm))

    def neck(p: float) -> Affine:
        return shift(0.56, -height * 0.55) @ turn(nod * np.sin(p))

    bone = limb(length, thick, thick * 0.75)
    far = [Part(bone, hide * 0.86, leg(x, beat)) for x, beat in ((-hip, 2.6), (hip, 0.6))]
    near = [Part(bone, hide, leg(x, beat)) for x, beat in ((-hip - 0.08, 0.0), (hip + 0.06, 3.14))]
    body = Part(oval(1.0, height, rng.uniform(2.0, 3.0)), hide)
    wag = Part(limb(rng.uniform(0.3, 0.5), 0.12, 0.08), hide * 0.92, tail)
    patch = face(rng, name)  # drawn last, so that bodies do not depend on the class
    ears = [Part(_ear(head, side), patch, neck, head=True) for side in (-1, 1)]
    skull = Part(oval(2 * head, 1.9 * head, 2.3), patch, neck, head=True)
    return make_thing(name, [wag, *far, body, *near, *ears, skull])


def _ear(head: float, side: int) -> np.ndarray:
    return np.array([(side * 0.85, -0.45), (side * 0.72, -1.3), (side * 0.2, -0.85)]) * head


def _at_axle(x: float, _: float) -> Affine:
    """Placement of a wheel, independent of the phase."""
    return shift(x, 0.17)


def distractor(rng: np.random.Generator) -> Thing:
    """An object without a class: a ball or a car in a plain colour."""
    colour = np.array(_PAINTS[rng.integers(len(_PAINTS))], np.float32) + rng.normal(0, 8, 3).astype(np.float32)
    paint = skin(rng, colour)
    if rng.random() < 0.5:
        return make_thing(None, [Part(oval(0.8, 0.8), paint), Part(oval(0.25, 0.25), paint * 0.6)])
    dark = np.full((4, 4, 3), 35, np.float32)
    roof = np.array([(-0.28, -0.15), (-0.18, -0.38), (0.16, -0.38), (0.3, -0.15)])
    wheels = [Part(oval(0.24, 0.24), dark, partial(_at_axle, x)) for x in (-0.27, 0.27)]
    return make_thing(None, [Part(roof, paint * 0.7), Part(oval(1.0, 0.34, 5), paint), *wheels])
