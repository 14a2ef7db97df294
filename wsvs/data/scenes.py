"""Images and videos of the synthetic data set: positions, motion and true masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wsvs.config.world import EXIT_FRAMES, WorldSettings
from wsvs.data.shapes import (
    Affine,
    Canvas,
    Thing,
    creature,
    distractor,
    ground,
    pick_skin,
    scale,
    shift,
    turn,
    warp,
)

Kind = Literal["whole", "leaves", "cut", "other", "nothing"]
_TRIES = 40


@dataclass(frozen=True)
class LabelledImage:
    """An image with its true labels: 1, 2, ... in the order of the settings' classes, 0 elsewhere."""

    image: np.ndarray  # (H, W, 3) uint8
    labels: np.ndarray  # (H, W) uint8
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Video:
    """A video with the true masks of its class and of the head."""

    frames: list[np.ndarray]  # (H, W, 3) uint8
    masks: list[np.ndarray]  # (H, W) bool
    heads: list[np.ndarray]  # (H, W) bool
    rate: int
    kind: Kind


def paint_image(rng: np.random.Generator, names: Sequence[str], settings: WorldSettings) -> LabelledImage:
    """An image with creatures of the given classes (none, one, two, ...), each clearly visible."""
    low, high = settings.image_sides
    width, height = (int(16 * rng.integers(low // 16, high // 16 + 1)) for _ in range(2))
    back = ground(rng, height, width)
    share = rng.uniform(*settings.image_area) * (1 if len(names) < 2 else 0.6)
    mean = back.mean((0, 1))
    things: list[Thing] = [distractor(rng) for _ in range(rng.integers(settings.distractors + 1))]
    things += [creature(rng, n, pick_skin(rng, mean, settings.contrast), settings.head_size) for n in names]
    phases = rng.uniform(0, 6, len(things))
    for _ in range(_TRIES):
        canvas = Canvas(back, 2 * len(things))
        whole = []
        for k, thing in enumerate(things):
            area = share if thing.name else rng.uniform(0.03, 0.08)
            place = _stand(rng, thing, area * rng.uniform(0.85, 1.15), width, height)
            thing.draw(canvas, (2 * k + 1, 2 * k + 2), place, phases[k])
            whole.append(canvas.share[2 * k + 1 :].sum((1, 2)))
        left = canvas.share[1:].sum((1, 2))
        if all(left[2 * k + i] >= 0.7 * whole[k][i] for k, t in enumerate(things) if t.name for i in (0, 1)):
            break
    labels = np.zeros((height, width), np.uint8)
    for name in names:
        labels[_visible(canvas, things, name)[0]] = settings.classes.index(name) + 1
    return LabelledImage(_expose(rng, canvas.image, settings.noise), labels, tuple(names))


def _stand(rng: np.random.Generator, thing: Thing, area: float, width: int, height: int) -> Affine:
    """A random placement inside the image for an object of a given area, facing left or right, slightly rotated."""
    size = np.sqrt(area * width * height / thing.area)
    extent = thing.high - thing.low
    size = min(size, 0.97 * width / extent[0], 0.97 * height / extent[1])
    room = np.maximum((width, height) - size * extent, 0)
    middle = (np.array([width, height]) - room) / 2 + rng.random(2) * room
    return place_thing(thing, middle, size, rng.uniform(-0.15, 0.15), facing=int(rng.choice((-1, 1))))


def place_thing(thing: Thing, middle: np.ndarray, size: float, angle: float, facing: int) -> Affine:
    """Transform from object units to pixels, with the bounding box centred at `middle`."""
    centre = (thing.low + thing.high) / 2
    return shift(*middle) @ turn(angle) @ scale(facing * size, size) @ shift(*-centre)


def _visible(canvas: Canvas, things: Sequence[Thing], name: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Two (H, W) bool masks: pixels that are at least half covered by objects of a class, and by their heads."""
    layers = [2 * k + 1 for k, thing in enumerate(things) if thing.name is not None and thing.name == name]
    heads = sum((canvas.share[layer + 1] for layer in layers), np.zeros_like(canvas.share[0]))
    whole = sum((canvas.share[layer] for layer in layers), heads.copy())
    return whole >= 0.5, heads >= 0.5


def _expose(rng: np.random.Generator, image: np.ndarray, noise: float) -> np.ndarray:
    """Convert to uint8, with sensor noise."""
    grain = rng.standard_normal(image.shape, np.float32) * noise
    return np.clip(np.round(image + grain), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Actor:
    """An object with its placement and gait phase in every frame; placements are None while it is out of view."""

    thing: Thing
    places: list[Affine | None]
    phases: np.ndarray


def make_video(rng: np.random.Generator, name: str, kind: Kind, settings: WorldSettings) -> Video:
    """A video retrieved for a class.

    'whole' shows an object of the class all the time; in 'leaves' it is absent in the first or last part, which in
    'cut' is another scene; 'other' shows an object of another class, 'nothing' none.
    """
    total = int(rng.integers(settings.frames[0], settings.frames[1] + 1))
    gap, early = round(rng.uniform(*settings.gap) * total), rng.random() < 0.5
    others = [other for other in settings.classes if other != name]
    other = (others[rng.integers(len(others))],) if others else ()
    beside = other if rng.random() < settings.companions else ()
    takes: list[Iterator[tuple[Canvas, list[Thing]]]]
    if kind == "cut":
        takes = [_take(rng, (name, *beside), total - gap, None, settings)]
        takes.insert(0 if early else 1, _take(rng, other if rng.random() < 0.4 else (), gap, None, settings))
    elif kind == "leaves":
        away = (0, gap) if early else (total - gap, total)
        takes = [_take(rng, (name, *beside), total, away, settings)]
    else:
        cast = {"whole": (name, *beside), "other": other, "nothing": ()}[kind]
        takes = [_take(rng, cast, total, None, settings)]
    video = Video([], [], [], int(rng.choice(settings.rates)), kind)
    for take in takes:
        for canvas, things in take:
            whole, head = _visible(canvas, things, name)
            video.frames.append(_expose(rng, canvas.image, settings.noise))
            video.masks.append(whole)
            video.heads.append(head)
    return video


def _take(
    rng: np.random.Generator,
    names: tuple[str, ...],
    total: int,
    away: tuple[int, int] | None,
    settings: WorldSettings,
) -> Iterator[tuple[Canvas, list[Thing]]]:
    """One scene: a panning camera over a background, creatures (the first is the main object) and distractors."""
    frame = np.array(settings.video_size)
    lead_path = _walk(rng, total, settings)
    time = np.linspace(0, 2 * np.pi, total)
    swing = settings.camera_speed * total / (2 * np.pi) * rng.uniform(0.5, 1) * np.sin(time + rng.uniform(0, 6))
    pan = np.stack([swing, 0.4 * swing * rng.choice((-1, 1))], 1)
    # The camera follows the main object just enough to keep it in the frame.
    area = rng.uniform(*settings.video_area)
    room = frame - 1.3 * np.sqrt(area * frame.prod())
    follow = np.clip(1 - room / np.maximum(np.ptp(lead_path, axis=0), 1e-6), rng.uniform(0, 0.4), 1)
    camera = follow * lead_path + pan
    margin = np.ceil(np.ptp(camera, axis=0)).astype(int) + 4
    back = ground(rng, int(frame[1] + margin[1]), int(frame[0] + margin[0]))
    mean = back.mean((0, 1))
    origin = camera.min(0) - 2
    cast: list[Actor] = []
    least = min(0 if names else 1, settings.distractors)  # a scene without creatures gets something that moves
    for _ in range(rng.integers(least, settings.distractors + 1)):
        thing = distractor(rng)
        path = _walk(rng, total, settings) * rng.uniform(1, 1.5) - camera
        cast.append(_direct(rng, thing, path, rng.uniform(0.03, 0.07), frame, None))
    for number, name in reversed(list(enumerate(names))):
        thing = creature(rng, name, pick_skin(rng, mean, settings.contrast), settings.head_size)
        path = (_walk(rng, total, settings) if number else lead_path) - camera
        cast.append(_direct(rng, thing, path, area * (0.7 if number else 1), frame, None if number else away))
    if rng.random() < 0.3:  # a distractor passes in front
        cast = [*cast[1:], cast[0]] if cast and cast[0].thing.name is None else cast
    things = [actor.thing for actor in cast]
    for t in range(total):
        view = warp(back, shift(*(origin - camera[t])), int(frame[0]), int(frame[1]))
        canvas = Canvas(view, 2 * len(cast))
        for k, actor in enumerate(cast):
            if (place := actor.places[t]) is not None:
                actor.thing.draw(canvas, (2 * k + 1, 2 * k + 2), place, float(actor.phases[t]))
        yield canvas, things


def _walk(rng: np.random.Generator, total: int, settings: WorldSettings) -> np.ndarray:
    """(total, 2) path over the ground in px: to one side with a slight sway, possibly with a pause."""
    speed = rng.uniform(*settings.object_speed) * rng.choice((-1, 1))
    time = np.arange(total)
    steps = np.stack([np.full(total, speed), 0.35 * abs(speed) * np.sin(0.25 * time + rng.uniform(0, 6))], 1)
    if rng.random() < settings.pauses:
        start = rng.integers(total // 4, total // 2 + 1)
        steps[start : start + total // 3] = 0
    return np.cumsum(steps, axis=0)


def _direct(
    rng: np.random.Generator,
    thing: Thing,
    path: np.ndarray,
    area: float,
    frame: np.ndarray,
    away: tuple[int, int] | None,
) -> Actor:
    """Move an object along a path in the frame; in the frames `away` it is out of view."""
    total = len(path)
    size = float(min(np.sqrt(area * frame.prod() / thing.area), (0.95 * frame / (thing.high - thing.low)).min()))
    extent = size * (thing.high - thing.low)
    low, high = path.min(0), path.max(0)
    room = frame - extent - (high - low)
    start = extent / 2 - low + np.where(room > 0, rng.random(2) * room, room / 2)
    middle = path + start
    facing = 1 if path[-1, 0] + 1e-9 >= path[0, 0] else -1
    zoom = 1 + 0.06 * np.sin(np.linspace(0, 3, total) + rng.uniform(0, 6))
    if away is not None:
        time = np.arange(total)
        gone = time - (away[0] - EXIT_FRAMES) if away[1] == total else away[1] - 1 + EXIT_FRAMES - time
        share = np.clip(gone / EXIT_FRAMES, 0, 1)
        outwards = facing if away[1] == total else -facing
        distance = (frame[0] + extent[0]) / 2 + np.abs(middle[:, 0] - frame[0] / 2)
        middle = middle + np.stack([outwards * share**2 * distance, np.zeros(total)], 1)
    gait = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(middle, axis=0), axis=1))])
    phases = rng.uniform(0, 6) + gait * (2 * np.pi / (0.7 * size))
    places: list[Affine | None] = [
        place_thing(thing, middle[t], size * zoom[t], 0.04 * np.sin(phases[t]), facing) for t in range(total)
    ]
    if away is not None:
        places[slice(*away)] = [None] * (away[1] - away[0])
    return Actor(thing, places, phases)
