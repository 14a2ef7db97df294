"""Compiled loops over pixels for the inside-outside maps; see `inside_outside`."""

from __future__ import annotations

import numpy as np

from wsvs.video.jit import compiled


@compiled
def gradient(flow: np.ndarray, full: bool) -> np.ndarray:
    """Central differences, one-sided along the border; without neighbours, no gradient."""
    height, width = flow.shape[:2]
    magnitude = np.zeros((height, width), np.float32)
    if min(height, width) < 2:
        return magnitude
    half, one = np.float32(0.5), np.float32(1)
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        down = half if below - above == 2 else one
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            across = half if right - left == 2 else one
            du_dy = (flow[below, x, 0] - flow[above, x, 0]) * down
            dv_dx = (flow[y, right, 1] - flow[y, left, 1]) * across
            square = du_dy * du_dy + dv_dx * dv_dx
            if full:
                du_dx = (flow[y, right, 0] - flow[y, left, 0]) * across
                dv_dy = (flow[below, x, 1] - flow[above, x, 1]) * down
                square = square + du_dx * du_dx + dv_dy * dv_dy
            magnitude[y, x] = np.sqrt(square)
    return magnitude


@compiled
def _direction(flow: np.ndarray, y: int, x: int) -> np.float32:
    """atan2(u, v); 10 where nothing moves, at least pi away from any direction in both ways of counting."""
    u, v = flow[y, x, 0], flow[y, x, 1]
    return np.float32(10) if u == 0 and v == 0 else np.arctan2(u, v)


@compiled
def turn(flow: np.ndarray, circular: bool, where: np.ndarray) -> np.ndarray:
    """Largest difference of direction to a neighbour, 0 to pi."""
    height, width = where.shape
    pi = np.float32(np.pi)
    delta = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if not where[y, x]:
                continue
            here, most = _direction(flow, y, x), np.float32(0)
            for row, column in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= row < height and 0 <= column < width:
                    there = _direction(flow, row, column)
                    apart = abs(here - there)
                    if not circular:
                        apart = min(apart, abs(here + there))
                    elif apart <= 2 * pi:
                        apart = min(apart, 2 * pi - apart)
                    most = max(most, apart)
            delta[y, x] = min(most, pi)
    return delta


@compiled
def critical(magnitude: np.ndarray, delta: np.ndarray, sure: float, boundary: float) -> np.ndarray:
    """The rate from which on b_m exceeds what a boundary needs, given its turn."""
    rates = np.full(magnitude.shape, np.inf, np.float32)
    straight = np.float32(-np.log1p(-sure))
    for y in range(magnitude.shape[0]):
        for x in range(magnitude.shape[1]):
            if magnitude[y, x] > 0:
                least = straight
                if delta[y, x] > 0:
                    b_theta = 1 - np.exp(-(delta[y, x] * delta[y, x]))
                    if b_theta * sure > boundary:
                        least = np.float32(-np.log1p(-boundary / b_theta))
                rates[y, x] = least / magnitude[y, x]
    return rates


@compiled
def flooded(boundary: np.ndarray, strip: int) -> np.ndarray:
    """The boundary without what is connected to the strip."""
    height, width = boundary.shape
    closed = boundary.copy()
    waiting, many = np.empty(boundary.size, np.int32), 0
    for y in range(height):
        inner = strip <= y < height - strip - 1 and strip < width - strip - 1
        for side in range(2):
            first = width - strip - 1 if inner and side == 1 else 0
            end = strip if inner and side == 0 else width
            for x in range(first, end):
                if closed[y, x]:
                    closed[y, x] = False
                    waiting[many] = y * width + x
                    many += 1
            if not inner:
                break
    while many > 0:
        many -= 1
        y, x = waiting[many] // width, waiting[many] % width
        for row in range(max(y - 1, 0), min(y + 2, height)):
            for column in range(max(x - 1, 0), min(x + 2, width)):
                if closed[row, column]:
                    closed[row, column] = False
                    waiting[many] = row * width + column
                    many += 1
    return closed


@compiled
def swept(boundary: np.ndarray, strip: int) -> np.ndarray:
    """The boundary without what sweeps right, left, down and up reach from the strip, each line from the last."""
    height, width = boundary.shape
    reached = np.ones((height, width), np.bool_)
    for y in range(strip, height - strip - 1):
        for x in range(strip, width - strip - 1):
            reached[y, x] = False
    for sweep in range(4):
        across, back = sweep < 2, sweep % 2 == 1
        lines, length = (width, height) if across else (height, width)
        for step in range(1, lines):
            line = lines - 1 - step if back else step
            before = line + 1 if back else line - 1
            for k in range(length):
                y, x = (k, line) if across else (line, k)
                if boundary[y, x] and not reached[y, x]:
                    for near in range(max(k - 1, 0), min(k + 2, length)):
                        if reached[near, before] if across else reached[before, near]:
                            reached[y, x] = True
    return boundary & ~reached


@compiled
def ray_votes(boundary: np.ndarray) -> np.ndarray:
    """Down the rows for the parities so far, up again for those of whole lines."""
    height, width = boundary.shape
    # one bit for each line: 1 down, 2 down and right, 4 down and left, 8 across
    wall = np.ones((height + 1, width + 2), np.uint8)  # outside counts as boundary: no entry in a first pixel
    parity = np.zeros((height + 1, width + 2), np.uint8)  # of the entries of each line up to this pixel
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            wall[y, x] = boundary[y - 1, x - 1]
        for x in range(1, width + 1):
            entry = 1 - wall[y - 1, x] | (1 - wall[y - 1, x - 1]) << 1 | (1 - wall[y - 1, x + 1]) << 2
            so_far = parity[y - 1, x] & 1 | parity[y - 1, x - 1] & 2 | parity[y - 1, x + 1] & 4
            parity[y, x] = so_far ^ entry * wall[y, x]
        odd = 0
        for x in range(1, width + 1):
            odd ^= wall[y, x] & 1 - wall[y, x - 1]
            parity[y, x] |= odd << 3
    found = np.empty((height, width), np.uint8)
    whole, below = parity[height].copy(), parity[height].copy()  # of all entries of the lines through a row
    for y in range(height, 0, -1):
        if y < height:
            below[:] = whole
            below[0], below[width + 1] = parity[y, 1], parity[y, width]  # these lines end here
            for x in range(1, width + 1):
                whole[x] = below[x] & 1 | below[x + 1] & 2 | below[x - 1] & 4
        across = parity[y, width] & 8
        for x in range(1, width + 1):
            here = parity[y, x]
            rest = here ^ (whole[x] & 7 | across)
            many = (here & 1) + (here >> 1 & 1) + (here >> 2 & 1) + (here >> 3)
            many += (rest & 1) + (rest >> 1 & 1) + (rest >> 2 & 1) + (rest >> 3)
            found[y - 1, x - 1] = many * (1 - wall[y, x])
    return found


@compiled
def moments(inside: np.ndarray) -> tuple[int, int, int, int, int]:
    """Number of pixels; sum of their rows, of squared rows, of columns, of squared columns. Whole numbers: exact."""
    area = rows = rows2 = columns = columns2 = 0
    for y in range(inside.shape[0]):
        many = total = square = 0
        for x in range(inside.shape[1]):
            if inside[y, x]:
                many += 1
                total += x
                square += x * x
        area += many
        rows += y * many
        rows2 += y * y * many
        columns += total
        columns2 += square
    return area, rows, rows2, columns, columns2
