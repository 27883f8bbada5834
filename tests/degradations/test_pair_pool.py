"""Real-ESRGAN's pool of pairs: pairs stay together, none is lost, and a resumed pool goes on exactly."""

from __future__ import annotations

import copy
import io

import pytest
import torch

from sr_experiments.degradations import PairPool
from sr_experiments.errors import UserError


def batch(number: int, size: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pairs of one gray each, of which no other pair has the same."""
    grays = (torch.arange(size) + number * size + 1).view(size, 1, 1, 1) / 255
    return grays.expand(-1, 3, 8, 8), grays.expand(-1, 3, 4, 4), torch.arange(size) + 1000 * number


def grays(images: torch.Tensor) -> list[int]:
    levels = (images * 255).round().long().flatten(1)
    assert (levels == levels[:, :1]).all()
    return levels[:, 0].tolist()


def test_pairs_stay_together_and_none_is_lost() -> None:
    pool = PairPool(9, 8, 2)
    for number in range(3):
        hr, lr, key = batch(number)
        out = pool(hr, lr, key)
        assert torch.equal(out[0], hr)
        assert torch.equal(out[1], lr)
    seen: list[int] = []
    for number in range(3, 20):
        hr, lr, key = pool(*batch(number))
        assert [gray - 1 for gray in grays(hr)] == [int(k) // 1000 * 3 + int(k) % 1000 for k in key]
        assert hr.dtype == torch.float32
        assert grays(hr) == grays(lr)
        seen += grays(hr)
    assert len(set(seen)) == len(seen) == 51
    rest = grays(pool.hr.float() / 255)
    assert sorted(seen + rest) == list(range(1, 61))
    assert seen != sorted(seen)


def test_resumed_pool_goes_on_exactly() -> None:
    whole, first = PairPool(6, 8, 2), PairPool(6, 8, 2)
    for number in range(5):
        whole(*batch(number))
        first(*batch(number))
    assert first.state_dict() == {}
    file = io.BytesIO()
    torch.save(first.contents(), file)
    file.seek(0)
    resumed, empty = PairPool(6, 8, 2), PairPool(6, 8, 2)
    resumed.refill(torch.load(file, weights_only=True))
    assert not torch.equal(empty(*batch(5))[0], copy.deepcopy(resumed)(*batch(5))[0])
    for number in range(5, 10):
        for expected, ours in zip(whole(*batch(number)), resumed(*batch(number)), strict=True):
            assert torch.equal(expected, ours)


def test_keys_decide_which_pairs_go_out() -> None:
    def out(key: int) -> list[int]:
        pool = PairPool(12, 8, 2)
        for number in range(4):
            pool(*batch(number))
        hr, lr, _ = batch(4)
        return grays(pool(hr, lr, torch.tensor([key, 0, 0]))[0])

    assert out(1) == out(1)
    assert len({tuple(out(key)) for key in range(10)}) > 5


def test_a_batch_that_does_not_fill_the_pool_evenly() -> None:
    pool = PairPool(4, 8, 2)
    pool(*batch(0))
    pool(*batch(1))
    assert sorted(grays(pool.hr.float() / 255)) == [3, 4, 5, 6]
    assert len(pool(*batch(2))[0]) == 3


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UserError, match="0 pairs mixes nothing"):
        PairPool(0, 8, 2)
    with pytest.raises(UserError, match="9 pixels needs a multiple of scale=2"):
        PairPool(4, 9, 2)
    with pytest.raises(UserError, match="2 pairs cannot mix a batch of 3"):
        PairPool(2, 8, 2)(*batch(0))
    with pytest.raises(UserError, match=r"same training\.stages\.pool\.pairs and data\.crop_size"):
        PairPool(4, 8, 2).refill(PairPool(4, 16, 2).contents())
