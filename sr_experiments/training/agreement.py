"""Whether a network, its loss and what it is given belong together; asked before anything runs."""

from __future__ import annotations

from torch import nn

from sr_experiments.errors import UserError
from sr_experiments.inference import colour as luma
from sr_experiments.losses import WeightedSum
from sr_experiments.matching import Matching

# The models that make images on their way, for the sentence that refuses the others.
WITH_OUTPUTS = ("dbpn", "drcn", "dsrn", "lapsrn", "memnet", "ms_lapsrn")


def check_network(network: nn.Module, matching: Matching | None, last_layer_rate: float) -> None:
    """See to it that a network gets the references it takes, and has the last layer that learns at another rate.

    Raises:
        UserError: it lacks a matching or has no use for one, or the rate is no factor or not for this network.
    """
    name = type(network).__name__
    if last_layer_rate <= 0 or (last_layer_rate != 1 and not hasattr(network, "last_layer")):
        raise UserError(
            f"training.last_layer_rate={last_layer_rate} must be above 0, and other than 1 only for networks that "
            f"name their last layer, as SRCNN, FSRCNN and ESPCN; {name} learns at one rate."
        )
    takes_references = getattr(network, "takes_references", False)
    if takes_references and matching is None:
        raise UserError(f"{name} needs textures of a reference: choose a matching, matching=vgg19.")
    if matching is not None and not takes_references:
        raise UserError(f"{name} has no use for textures of a reference: leave the matching out with ~matching.")


def check_loss(loss: WeightedSum, network: nn.Module, plays: bool) -> None:
    """See to it that a loss gets from the network what its terms look at.

    Args:
        loss: the weighted sum.
        network: what is trained.
        plays: whether the training knows what to do with an adversarial part.

    Raises:
        UserError: it has an adversarial part, looks at images on the way or at colours, in vain.
    """
    if loss.adversarial is not None and not plays:
        raise UserError("training=supervised has no use for the adversarial part of this loss: use another loss.")
    of_outputs = loss.terms_that_take("outputs")
    if of_outputs and not hasattr(network, "outputs"):
        raise UserError(
            f"The loss term {of_outputs[0]} looks at the images that a network makes on its way, and "
            f"{type(network).__name__} makes none: choose another loss, or model={' | '.join(WITH_OUTPUTS)}."
        )
    if luma.is_on_luma(network):
        luma.check_loss(loss)


def check_for_several_scales(loss: WeightedSum | None, plays: bool, pair_pool: int | None) -> None:
    """See to it that nothing else of a training holds one scale, or crops of one size.

    Raises:
        UserError: there is a discriminator, a pool of pairs, or a term with a degradation.
    """
    if plays:
        raise UserError("scales=[...] is for training=supervised: a discriminator judges crops of one size.")
    if pair_pool is not None:
        raise UserError("training.pair_pool keeps pairs of one size: set it to null, or scales=null.")
    for name, term in () if loss is None else loss.terms.items():
        if hasattr(term, "degradation"):
            raise UserError(f"The loss term {name} shrinks by one scale: leave it out, or set scales=null.")
