"""The order of a training: a function of seed and place, whatever the ranks, batches and starts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from wsvs.data.visits import Once, Present, Visit, Visits, visited


def epochs(count, size=10, length=8, **more):
    """The visits of the first epochs, one after the other."""
    visits, found = Visits(size, length=length, seed=1, **more), []
    for epoch in range(count):
        visits.set_epoch(epoch)
        found += visits
        assert len(found) == (epoch + 1) * length
    return found


def test_every_item_comes_up_once_in_a_pass():
    flat = epochs(5)  # 40 visits of 10 items: a pass ends within an epoch
    assert Counter(visit.item for visit in flat) == dict.fromkeys(range(10), 4)
    orders = [[visit.item for visit in flat[k : k + 10]] for k in range(0, 40, 10)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4  # each pass in an order of its own


def test_visits_know_their_pass_and_seed():
    flat = epochs(5)
    assert [visit.turn for visit in flat] == [k // 10 for k in range(40)] and {visit.seed for visit in flat} == {1}


def test_order_is_a_function_of_the_seed():
    assert epochs(5) == epochs(5)
    assert list(Visits(10, length=8, seed=2)) != epochs(1)


def test_ranks_share_what_one_rank_of_larger_batches_sees():
    alone = epochs(3, length=8)
    both = [epochs(3, length=4, rank=rank, ranks=2) for rank in (0, 1)]
    assert [visit for pair in zip(*both, strict=True) for visit in pair] == alone


@pytest.mark.parametrize(("epoch", "start"), [(0, 0), (0, 3), (2, 7), (1, 8), (0, 24)])
def test_a_start_in_the_middle_continues_there(epoch, start):
    whole = epochs(5)
    visits = Visits(10, length=8, seed=1)
    visits.go_to(epoch, start)
    assert len(visits) == 8  # loops count the batches of whole epochs
    found, (now, rest) = [], divmod(8 * epoch + start, 8)
    for k in range(now, 5):
        visits.set_epoch(k)
        found += list(visits)
    assert found == whole[8 * now + rest :]


def test_fewer_items_than_visits_are_repeated_with_other_crops():
    found = epochs(1, size=3, length=8)
    assert len(set(found)) == 8 and Counter(visit.item for visit in found).most_common(1)[0][1] == 3


def test_a_visit_decides_the_generator():
    draws = {
        visit: visited(visit)[1].random()
        for visit in (*(Visit(k, t, s) for k in (1, 2) for t in (0, 1) for s in (0, 1)), 7)
    }
    assert len(set(draws.values())) == 9
    assert visited(Visit(2, 1, 0))[0] == 2 and visited(7)[0] == 7
    assert all(visited(visit)[1].random() == draw for visit, draw in draws.items())
    assert visited(7)[1].random() == np.random.default_rng(7).random()


@pytest.mark.parametrize(("size", "ranks"), [(7, 2), (8, 2), (7, 3), (1, 2), (2, 4), (5, 1)])
def test_ranks_share_every_number_once_in_equal_shares(size, ranks):
    shares = [list(Once(size, rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert {len(share) for share in shares} == {-(-size // ranks)} == {len(Once(size, rank=0, ranks=ranks))}
    in_turn = [number for row in zip(*shares, strict=True) for number in row]
    assert in_turn == [*range(size), *[None] * (len(in_turn) - size)]


def test_absent_items_are_left_out_of_a_batch():
    present = Present("abc")
    assert len(present) == 3 and present.__getitems__([2, None, 0]) == ["c", "a"]
    assert present.__getitems__([None]) == []


def test_settings_refused():
    for size, length in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="needs items and an epoch visits"):
            Visits(size, length=length, seed=0)
