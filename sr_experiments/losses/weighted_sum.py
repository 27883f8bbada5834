"""A loss is a sum of named, weighted terms."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.features.feature_network import FeatureNetwork

FEATURES = ("sr_features", "hr_features")


class WeightedSum(nn.Module):
    """Weighted sum of terms; each takes what its `forward` names: `sr`, `hr`, `lr`, `key`, ...

    A term whose `forward` names `sr_features` and `hr_features` names in its attribute `layers` the layers of the
    feature network that it uses, and gets them as layer -> activation. One pass over SR, with gradient, and one over
    HR, without, serve all such terms. The method `load` of a term is called here, so that missing weights are noticed
    before training.

    Args:
        terms: name -> {"weight": number, "term": module returning a scalar}. A term of weight 0 is never called or
            loaded, nor is a feature network that only such terms use.
        feature_network: shared by all terms that use features.
        adversarial: the adversarial part, for the training. It is stored but not registered: the discriminator is not
            part of a loss's state.

    Raises:
        UserError: there is nothing to train for, a term is not made of a weight and a module, or a term needs a
            feature network or a layer of it that is not there.
    """

    adversarial: Any

    def __init__(
        self,
        terms: Mapping[str, Mapping[str, Any]],
        feature_network: FeatureNetwork | None = None,
        adversarial: Any = None,
    ) -> None:
        super().__init__()
        for name, entry in terms.items():
            if set(entry) != {"weight", "term"} or not isinstance(entry["term"], nn.Module):
                raise UserError(f"loss.terms.{name} must have a weight and a term with a _target_, and nothing else.")
        self.weights = {name: float(entry["weight"]) for name, entry in terms.items() if entry["weight"] != 0}
        if not self.weights and adversarial is None:
            raise UserError("The loss has no term whose weight is not 0: there is nothing to train for.")
        object.__setattr__(self, "adversarial", adversarial)
        self.terms = nn.ModuleDict({name: terms[name]["term"] for name in self.weights})
        parameters = {name: inspect.signature(term.forward).parameters for name, term in self.terms.items()}
        self.accepts = {name: list(accepted) for name, accepted in parameters.items()}
        self.needs = {
            name: [key for key, parameter in accepted.items() if parameter.default is parameter.empty]
            for name, accepted in parameters.items()
        }
        self.layers = self._layers()
        # An unused one is left out, so that its weights are never read.
        self.feature_network = feature_network if self.layers else None
        self._load(feature_network)

    def terms_that_take(self, name: str) -> list[str]:
        """The terms whose `forward` takes the input `name`."""
        return [term for term, accepted in self.accepts.items() if name in accepted]

    def _layers(self) -> list[str]:
        """The layers that any term uses."""
        looking = [name for name, needs in self.needs.items() if set(FEATURES) & set(needs)]
        return sorted({layer for name in looking for layer in self.terms[name].layers})  # type: ignore[union-attr]

    def _load(self, feature_network: FeatureNetwork | None) -> None:
        if self.layers:
            if feature_network is None:
                names = [name for name, needs in self.needs.items() if set(FEATURES) & set(needs)]
                raise UserError(
                    f"The loss term {names[0]} uses features, but loss.feature_network is not given: write "
                    "feature_network: ${feature_network} into the loss."
                )
            feature_network.check(self.layers)
        for term in self.terms.values():
            load: Any = getattr(term, "load", None)
            if load is not None:
                load()

    def forward(self, **inputs: Any) -> dict[str, Tensor]:
        """The value of every term before weighting, with its graph; `weights` says what each is multiplied by.

        Args:
            inputs: what terms may ask for by name, such as `sr` and `hr`, (B, C, H, W) in [0, 1].

        Returns:
            Name -> scalar.

        Raises:
            UserError: a term needs an input that this training does not have.
        """
        if self.feature_network is not None:
            inputs = {**inputs, "sr_features": self.feature_network(inputs["sr"], self.layers)}
            with torch.no_grad():
                inputs["hr_features"] = self.feature_network(inputs["hr"], self.layers)
        values = {}
        for name, term in self.terms.items():
            missing = [need for need in self.needs[name] if need not in inputs]
            if missing:
                raise UserError(f"The loss term {name} needs {', '.join(missing)}, which this training does not have.")
            values[name] = term(**{key: inputs[key] for key in self.accepts[name] if key in inputs})
        return values
