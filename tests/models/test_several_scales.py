"""Networks for several scales: one trunk, and what belongs to one scale alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from sr_experiments.errors import UserError
from sr_experiments.models.carn import CARN
from sr_experiments.models.mdsr import MDSR
from sr_experiments.models.meta_rdn import MetaRDN
from sr_experiments.models.prosr import ProSR
from sr_experiments.upsamplers import MetaUpscale, SubPixel

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mdsr": partial(MDSR, features=4, blocks=1, scales=(2, 3, 4)),
    "carn": partial(CARN, features=4, blocks=1, scales=(2, 3, 4)),
    "carn_m": partial(CARN, features=4, blocks=1, scales=(2, 3, 4), groups=2, shared=True),
    "prosr": partial(ProSR, features=4, growth=2, levels=[[1], [1]], scales=(2, 4)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_enlarges_by_its_own_scale_or_the_one_asked_for(name: str) -> None:
    network, lr = NETWORKS[name](4, SubPixel), torch.rand(1, 3, 5, 6)
    assert network(lr).shape == (1, 3, 20, 24)
    for scale in network.scales:
        assert network(lr, scale).shape == (1, 3, 5 * scale, 6 * scale)
    assert torch.equal(network(lr, 4), network(lr))


@pytest.mark.parametrize("name", NETWORKS)
def test_only_what_belongs_to_the_chosen_scale_learns(name: str) -> None:
    network = NETWORKS[name](4, SubPixel)
    network(torch.rand(1, 3, 5, 6), 2).sum().backward()
    of_a_scale = {n: p.grad is not None for n, p in network.named_parameters() if ".x" in n}
    assert of_a_scale
    assert all(learns == (".x2." in name) for name, learns in of_a_scale.items())
    if name != "prosr":  # there x4 has a level of its own
        assert all(p.grad is not None for n, p in network.named_parameters() if ".x" not in n)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_scale_that_it_is_not_built_for_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"built for model\.scales=\[2, .*4\], without scale=8: add it there"):
        NETWORKS[name](8, SubPixel)
    with pytest.raises(UserError, match="without scale=8"):
        NETWORKS[name](4, SubPixel)(torch.rand(1, 3, 5, 6), 8)


def test_meta_rdn_enlarges_by_any_number_with_the_same_weights() -> None:
    network = MetaRDN(4, partial(MetaUpscale, hidden=4), features=4, blocks=1, layers=1, growth=2)
    lr = torch.rand(1, 3, 10, 7)
    assert network(lr).shape == (1, 3, 40, 28)
    for scale in (1.1, 1.5, 2, 3, 3.7):
        assert network(lr, scale).shape == (1, 3, int(10 * scale + 1e-6), int(7 * scale + 1e-6))


def test_meta_rdn_says_which_upsampler_it_needs() -> None:
    with pytest.raises(UserError, match="which the upsampler SubPixel cannot do: use upsampler=meta_upscale"):
        MetaRDN(4, SubPixel)
    with pytest.raises(UserError, match=r"at least 1, not by scale=0\.5"):
        MetaRDN(0.5, MetaUpscale)
