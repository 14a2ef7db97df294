"""SLIC superpixels (Achanta et al., TPAMI 2012) as compiled loops.

Centres start on a grid, and a pixel chooses among the centres of its own grid cell and the 8 around it, as in gSLIC
(Ren & Reid, 2011). Pixels are stored cell by cell, so that one inner loop compares a whole cell with 9 centres held in
registers. All rounds but the last use every other row.
"""

from __future__ import annotations

import numpy as np

from wsvs.video.jit import compiled

_Point = tuple[np.float32, np.float32, np.float32, np.float32, np.float32]  # L, a, b, x, y
_LANES = 32  # room for a cell's pixels is a multiple of this: whole vectors


def slic_labels(lab: np.ndarray, rows: int, columns: int, weight: float, rounds: int, smallest: int) -> np.ndarray:
    """Superpixels of an image, all connected (4 neighbours).

    Args:
        lab: (H, W, 3) uint8.
        rows, columns: Of the grid of starting centres; at most H and W.
        weight: Of squared pixels against squared colour levels.
        rounds: k-means rounds.
        smallest: Pieces with fewer pixels join the neighbour of the nearest colour.

    Returns:
        (H, W) int32 labels 0..K-1, all of them in use, numbered by their first pixel.
    """
    height, width = lab.shape[:2]
    row_at = np.arange(rows + 1) * height // rows
    column_at = np.arange(columns + 1) * width // columns
    heights, widths = np.diff(row_at)[:, None], np.diff(column_at)[None, :]
    size, even = (heights * widths).ravel(), ((heights + 1) // 2 * widths).ravel()  # pixels of a cell, in even rows
    pixels = _by_cell(lab, row_at, column_at, _whole(size.max()))
    labels = np.repeat(np.arange(rows * columns, dtype=np.int32)[:, None], pixels.shape[2], axis=1)
    centres = np.zeros((rows * columns, 5), np.float32)
    for number in range(rounds):
        _move_centres(pixels, even, labels, centres)
        room = pixels.shape[2] if number == rounds - 1 else _whole(even.max())
        _assign(pixels, centres, columns, labels, np.float32(weight), room)
    return _connected(_as_image(labels, row_at, column_at), centres, smallest)


def _whole(pixels: int) -> int:
    return -(-int(pixels) // _LANES) * _LANES


@compiled
def _by_cell(lab: np.ndarray, row_at: np.ndarray, column_at: np.ndarray, room: int) -> np.ndarray:
    """(5, cells, room) float32 L, a, b, column, row of each cell's pixels, even rows first; then zeros."""
    columns = len(column_at) - 1
    pixels = np.zeros((5, (len(row_at) - 1) * columns, room), np.float32)
    for i in range(len(row_at) - 1):
        for j in range(columns):
            cell, k = i * columns + j, 0
            for odd in range(2):
                for y in range(row_at[i] + odd, row_at[i + 1], 2):
                    for x in range(column_at[j], column_at[j + 1]):
                        pixels[0, cell, k] = lab[y, x, 0]
                        pixels[1, cell, k] = lab[y, x, 1]
                        pixels[2, cell, k] = lab[y, x, 2]
                        pixels[3, cell, k] = x
                        pixels[4, cell, k] = y
                        k += 1
    return pixels


@compiled
def _as_image(labels: np.ndarray, row_at: np.ndarray, column_at: np.ndarray) -> np.ndarray:
    """The way back of `_by_cell` for labels: (cells, room) -> (H, W)."""
    columns = len(column_at) - 1
    image = np.empty((row_at[-1], column_at[-1]), np.int32)
    for i in range(len(row_at) - 1):
        for j in range(columns):
            cell, k = i * columns + j, 0
            for odd in range(2):
                for y in range(row_at[i] + odd, row_at[i + 1], 2):
                    for x in range(column_at[j], column_at[j + 1]):
                        image[y, x] = labels[cell, k]
                        k += 1
    return image


@compiled
def _move_centres(pixels: np.ndarray, size: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> None:
    """Centres (K, 5) become the means of the first `size` pixels of each cell; one without pixels stays."""
    sums = np.zeros((len(centres), 6), np.float32)
    for cell in range(len(size)):
        for k in range(size[cell]):
            total = sums[labels[cell, k]]
            for c in range(5):
                total[c] += pixels[c, cell, k]
            total[5] += np.float32(1)
    for i in range(len(centres)):
        if sums[i, 5] > 0:
            for c in range(5):
                centres[i, c] = sums[i, c] / sums[i, 5]


@compiled
def _centre(centres: np.ndarray, i: np.int32) -> _Point:
    return centres[i, 0], centres[i, 1], centres[i, 2], centres[i, 3], centres[i, 4]


@compiled
def _distance(pixel: _Point, centre: _Point, weight: np.float32) -> np.float32:
    light, a, b = pixel[0] - centre[0], pixel[1] - centre[1], pixel[2] - centre[2]
    x, y = pixel[3] - centre[3], pixel[4] - centre[4]
    return light * light + a * a + b * b + weight * (x * x + y * y)


@compiled
def _nearer(
    best: np.float32, label: np.int32, pixel: _Point, centre: _Point, number: np.int32, weight: np.float32
) -> tuple[np.float32, np.int32]:
    """The better of the best so far and one more centre."""
    distance = _distance(pixel, centre, weight)
    return (distance if distance < best else best), (number if distance < best else label)


@compiled
def _assign(
    pixels: np.ndarray, centres: np.ndarray, columns: int, labels: np.ndarray, weight: np.float32, room: int
) -> None:
    """Labels of the first `room` pixels of each cell: the nearest of the 9 centres around; of equal ones the first."""
    rows = len(centres) // columns
    for i in range(rows):
        above, below = columns * max(i - 1, 0), columns * min(i + 1, rows - 1)
        for j in range(columns):
            left, right, cell = max(j - 1, 0), min(j + 1, columns - 1), i * columns + j
            n0, n1, n2 = np.int32(above + left), np.int32(above + j), np.int32(above + right)
            n3, n4, n5 = np.int32(i * columns + left), np.int32(cell), np.int32(i * columns + right)
            n6, n7, n8 = np.int32(below + left), np.int32(below + j), np.int32(below + right)
            c0, c1, c2 = _centre(centres, n0), _centre(centres, n1), _centre(centres, n2)
            c3, c4, c5 = _centre(centres, n3), _centre(centres, n4), _centre(centres, n5)
            c6, c7, c8 = _centre(centres, n6), _centre(centres, n7), _centre(centres, n8)
            for k in range(room):  # no loop over the 9: the compiler makes vectors of the loop over k
                p = pixels[0, cell, k], pixels[1, cell, k], pixels[2, cell, k], pixels[3, cell, k], pixels[4, cell, k]
                best, label = _distance(p, c0, weight), n0
                best, label = _nearer(best, label, p, c1, n1, weight)
                best, label = _nearer(best, label, p, c2, n2, weight)
                best, label = _nearer(best, label, p, c3, n3, weight)
                best, label = _nearer(best, label, p, c4, n4, weight)
                best, label = _nearer(best, label, p, c5, n5, weight)
                best, label = _nearer(best, label, p, c6, n6, weight)
                best, label = _nearer(best, label, p, c7, n7, weight)
                best, label = _nearer(best, label, p, c8, n8, weight)
                labels[cell, k] = label


@compiled
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]  # halves the way for the next
        i = parent[i]
    return i


@compiled
def _join(parent: np.ndarray, a: int, b: int) -> int:
    """Unite two trees: the smaller root stays. Returns it."""
    a, b = _root(parent, a), _root(parent, b)
    root = min(a, b)
    parent[max(a, b)] = root
    return root


@compiled
def _runs(labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Connected pieces by runs of equal labels within a row, numbered row by row.

    Returns:
        Of the N runs: first column, length, the first run above and below that touches it, and the first run of its
        piece, (N,) int32 each; and (H + 1,) int64, the first run of each row.
    """
    height, width = labels.shape
    first, length = np.empty(labels.size, np.int32), np.empty(labels.size, np.int32)
    above, below = np.empty(labels.size, np.int32), np.empty(labels.size, np.int32)
    parent = np.empty(labels.size, np.int32)
    row_at = np.zeros(height + 1, np.int64)
    n = 0
    for y in range(height):
        row_at[y] = n
        j = row_at[y - 1] if y > 0 else 0
        begin = 0
        while begin < width:
            label, end = labels[y, begin], begin + 1
            while end < width and labels[y, end] == label:
                end += 1
            first[n], length[n], parent[n], above[n], below[n] = begin, end - begin, n, j, -1
            while j < row_at[y]:
                if labels[y - 1, first[j]] == label:
                    if parent[n] == n:
                        parent[n] = _root(parent, j)
                    else:
                        parent[n] = _join(parent, j, n)
                if below[j] < 0:
                    below[j] = n
                stop = first[j] + length[j]
                if stop <= end:
                    j += 1
                if stop >= end:
                    break
            begin = end
            n += 1
    row_at[height] = n
    for i in range(n):
        parent[i] = parent[parent[i]]
    return first[:n], length[:n], above[:n], below[:n], parent[:n], row_at


@compiled
def _connected(labels: np.ndarray, centres: np.ndarray, smallest: int) -> np.ndarray:
    """Number the connected pieces; those of fewer than `smallest` pixels join a neighbour.

    First to go are pieces beside the largest one of their cluster; those largest ones only if they stay small then. On
    pure noise, where all pieces are small, about as many superpixels as centres remain in this way.
    """
    first, length, above, below, parent, row_at = _runs(labels)
    size = np.zeros(len(first), np.int32)
    for i in range(len(first)):
        size[parent[i]] += length[i]
    largest = np.full(len(centres), -1, np.int32)
    for y in range(labels.shape[0]):
        for i in range(row_at[y], row_at[y + 1]):
            cluster = labels[y, first[i]]
            if parent[i] == i and (largest[cluster] < 0 or size[i] > size[largest[cluster]]):
                largest[cluster] = i
    # neighbours of small pieces; a run has few: all together less than 2 beside, 2 above and 2 below each
    own, other = np.empty(6 * len(first), np.int32), np.empty(6 * len(first), np.int32)
    apart = np.empty(6 * len(first), np.float32)
    pairs = 0
    for y in range(labels.shape[0]):
        for i in range(row_at[y], row_at[y + 1]):
            if size[parent[i]] >= smallest:
                continue
            centre, end = centres[labels[y, first[i]]], first[i] + length[i]
            for z in range(max(y - 1, 0), min(y + 2, labels.shape[0])):
                k = max(i - 1, row_at[y]) if z == y else above[i] if z < y else below[i]
                while k < row_at[z + 1] and (first[k] < end or (z == y and k == i + 1)):
                    if parent[k] != parent[i]:
                        theirs = centres[labels[z, first[k]]]
                        own[pairs], other[pairs] = parent[i], parent[k]
                        apart[pairs] = (
                            (centre[0] - theirs[0]) ** 2 + (centre[1] - theirs[1]) ** 2 + (centre[2] - theirs[2]) ** 2
                        )
                        pairs += 1
                    k += 1
    stays = size >= smallest
    for core in largest:
        if core >= 0:
            stays[core] = True
    _absorb(own[:pairs], other[:pairs], apart[:pairs], parent, size, stays)
    _absorb(own[:pairs], other[:pairs], apart[:pairs], parent, size, size >= smallest)
    number, count = np.full(len(first), -1, np.int32), 0
    image = np.empty(labels.shape, np.int32)
    for y in range(labels.shape[0]):
        for i in range(row_at[y], row_at[y + 1]):
            root = _root(parent, i)
            if number[root] < 0:
                number[root] = count
                count += 1
            for x in range(first[i], first[i] + length[i]):
                image[y, x] = number[root]
    return image


@compiled
def _absorb(
    own: np.ndarray, other: np.ndarray, apart: np.ndarray, parent: np.ndarray, size: np.ndarray, stays: np.ndarray
) -> None:
    """Join pieces to neighbours that stay, round by round; to each other only where no more such are to be found."""
    nearest, target = np.full(len(parent), np.inf, np.float32), np.full(len(parent), -1, np.int32)
    any_will_do = False
    while True:
        waiting = False
        for p in range(len(own)):
            a = _root(parent, own[p])
            if not stays[a]:
                b = _root(parent, other[p])
                if a != b and not stays[b] and not any_will_do:
                    waiting = True
                elif a != b and apart[p] < nearest[a]:
                    nearest[a], target[a] = apart[p], b
        joined = False
        for a in range(len(parent)):
            if target[a] >= 0:
                one, other_one = _root(parent, a), _root(parent, target[a])
                if one != other_one:
                    together, stay = size[one] + size[other_one], stays[one] or stays[other_one]
                    root = _join(parent, one, other_one)
                    size[root], stays[root] = together, stay
                    joined = True
                target[a], nearest[a] = -1, np.inf
        if not (waiting or (any_will_do and joined)):
            return
        any_will_do = not joined
