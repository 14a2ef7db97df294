"""Compiled loops over superpixels for the contrast term; see `contrast`."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numpy as np

from wsvs.video.jit import compiled


@compiled
def path_lengths(start: np.ndarray, edges: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Dijkstra's algorithm from several nodes at once.

    Args:
        start: (K,) float64, length of a path that begins at each node; inf where none begins.
        edges: (E, 2) pairs of nodes.
        length: (E,) float64 >= 0.

    Returns:
        (K,) float64, length of the shortest path to each node; inf where none leads.
    """
    count = len(start)
    begin = np.zeros(count + 2, np.int64)  # the neighbours of node k are at begin[k] to begin[k + 1]
    for one, other in edges:
        begin[one + 2] += 1
        begin[other + 2] += 1
    for k in range(count):
        begin[k + 2] += begin[k + 1]
    neighbour, change = np.empty(2 * len(edges), np.int64), np.empty(2 * len(edges), np.float64)
    for e in range(len(edges)):
        for here, there in ((edges[e, 0], edges[e, 1]), (edges[e, 1], edges[e, 0])):
            neighbour[begin[here + 1]], change[begin[here + 1]] = there, length[e]
            begin[here + 1] += 1
    best = start.copy()
    waiting = [(start[k], k) for k in range(count) if start[k] < np.inf]
    heapify(waiting)
    while len(waiting) > 0:
        so_far, k = heappop(waiting)
        if so_far > best[k]:
            continue  # a shorter path was found meanwhile
        for place in range(begin[k], begin[k + 1]):
            there, new = neighbour[place], so_far + change[place]
            if new < best[there]:
                best[there] = new
                heappush(waiting, (new, there))
    return best


@compiled
def connected(count: int, edges: np.ndarray) -> tuple[int, np.ndarray]:
    """Components of an undirected graph: their number, and (count,) the number of each node's component."""
    root = np.arange(count)
    for one, other in edges:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        while root[other] != other:
            root[other] = root[root[other]]
            other = root[other]
        root[max(one, other)] = min(one, other)  # so that a root is the first of its component
    found = 0
    for k in range(count):
        if root[k] == k:
            root[k] = found
            found += 1
        else:
            root[k] = root[root[k]]
    return found, root


@compiled
def by_cell(place: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort points of a plane into square cells.

    Args:
        place: (L, 2) float64.
        cell: Side of a cell.

    Returns:
        order: (L,) the points, cell by cell, row by row.
        begin: (rows, columns + 1) where the points of each cell begin in `order`; the last column is the end of a row.
        corner: (2,) float64, place of the first cell's corner.
    """
    corner = np.array([place[:, 0].min(), place[:, 1].min()])
    rows, columns = int((place[:, 0].max() - corner[0]) / cell) + 1, int((place[:, 1].max() - corner[1]) / cell) + 1
    own = np.empty(len(place), np.int64)
    ends = np.zeros(rows * columns + 1, np.int64)
    for k in range(len(place)):
        own[k] = int((place[k, 0] - corner[0]) / cell) * columns + int((place[k, 1] - corner[1]) / cell)
        ends[own[k] + 1] += 1
    ends = np.cumsum(ends)
    begin = np.empty((rows, columns + 1), np.int64)
    for row in range(rows):
        begin[row] = ends[row * columns : (row + 1) * columns + 1]
    return np.argsort(own, kind="mergesort"), begin, corner


@compiled
def add_votes(
    total: np.ndarray,
    weight: np.ndarray,
    points: np.ndarray,
    others: np.ndarray,
    values: np.ndarray,
    begin: np.ndarray,
    corner: np.ndarray,
    cell: float,
) -> None:
    """Let the two nearest of the others vote on each point, with the similarity exp(-d^2 / 2) as their weight.

    Args:
        total, weight: (K,) float64, sums of similarity times value, and of similarities; changed in place.
        points: (K, d) float64, whose first two coordinates are a place in the plane.
        others: (L, d) float64, in the order of `by_cell`; a single one votes alone.
        values: (L,) float64 of the others.
        begin, corner, cell: From `by_cell`.
    """
    rows, columns = begin.shape[0], begin.shape[1] - 1
    for k in range(len(points)):
        row = min(max(int((points[k, 0] - corner[0]) / cell), 0), rows - 1)
        column = min(max(int((points[k, 1] - corner[1]) / cell), 0), columns - 1)
        nearest, second = np.inf, np.inf
        first, next_one = -1, -1
        for reach in range(max(rows, columns)):  # rings of cells around its own; beyond them all are farther away
            for line in range(max(row - reach, 0), min(row + reach + 1, rows)):
                whole = abs(line - row) == reach  # of its other rows a ring has the two ends
                for end in (column - reach, column + reach):
                    left = max(column - reach if whole else end, 0)
                    right = min(column + reach if whole else end, columns - 1)
                    if left > right:
                        continue
                    for place in range(begin[line, left], begin[line, right + 1]):
                        square = (points[k, 0] - others[place, 0]) ** 2 + (points[k, 1] - others[place, 1]) ** 2
                        if square >= second:
                            continue
                        for d in range(2, points.shape[1]):
                            square += (points[k, d] - others[place, d]) ** 2
                        if square < nearest:
                            nearest, second = square, nearest
                            first, next_one = place, first
                        elif square < second:
                            second, next_one = square, place
                    if whole:
                        break
            if second <= (reach * cell) ** 2:
                break
        for square, place in ((nearest, first), (second, next_one)):
            if place >= 0:
                similarity = np.exp(-square / 2)
                total[k] += similarity * values[place]
                weight[k] += similarity
