"""What training changes of a model: everything but the weights of encoders that stay frozen."""

from __future__ import annotations

from torch import Tensor, nn

from iisan.models.recommender import ENCODERS, Recommender


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that want gradients."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def trained_state(model: Recommender) -> dict[str, Tensor]:
    """The model's parameters and buffers by name, without what is frozen in the encoders that are tuned with it."""
    state: dict[str, Tensor] = model.state_dict()
    frozen = _frozen_in_encoders(model)
    return {name: value for name, value in state.items() if name not in frozen}


def load_trained_state(model: Recommender, tensors: dict[str, Tensor]) -> None:
    """Puts what :func:`trained_state` gave back.

    Raises:
        RuntimeError: Names or shapes are other than the model's.
    """
    report = model.load_state_dict(tensors, strict=False)
    missing = set(report.missing_keys) - _frozen_in_encoders(model)
    if missing or report.unexpected_keys:
        raise RuntimeError(f"{len(missing)} tensors are missing and {len(report.unexpected_keys)} are unknown")


def _frozen_in_encoders(model: Recommender) -> set[str]:
    """Names of frozen parameters and of buffers below the encoders: the pretrained model brings both."""
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name for name in model.state_dict() if name.startswith(f"{ENCODERS}.") and name not in trained}
