"""What the presets set, method by method."""

from __future__ import annotations

import pytest

from iisan.training.config import TrainConfig
from iisan.training.encoder_rates import encoder_rates

ENCODERS = {"text": {"kind": "text"}, "image": {"kind": "image"}}


@pytest.mark.parametrize(
    ("method", "batch", "rate", "text", "image"),
    [
        ("full", 32, 1e-4, 5e-5, 1e-4),
        ("adapter", 32, 4e-4, 4e-4, 4e-4),
        ("lora", 32, 4e-4, 4e-4, 4e-4),
        ("bitfit", 32, 4e-4, 4e-4, 4e-4),
        ("peft:dora", 32, 4e-4, 4e-4, 4e-4),
    ],
)
def test_the_paper_s_scripts_of_tuned_methods(method: str, batch: int, rate: float, text: float, image: float) -> None:
    config = TrainConfig.preset("paper", method=method)
    assert (config.batch_size, config.learning_rate) == (batch, rate)
    assert encoder_rates(config, ENCODERS) == {"text": text, "image": image}
    assert (config.optimizer, config.max_length, config.adapter_width) == ("adam", 10, 64)


@pytest.mark.parametrize("method", ["iisan", "frozen", "id"])
def test_the_paper_s_script_of_iisan(method: str) -> None:
    config = TrainConfig.preset("paper", method=method)
    assert (config.batch_size, config.learning_rate, config.side_learning_rate) == (64, 2e-4, 1e-4)


def test_what_is_given_wins() -> None:
    config = TrainConfig.preset("paper", method="full", batch_size=7, learning_rate=0.5)
    assert (config.batch_size, config.learning_rate, config.keep_last) == (7, 0.5, 13)


def test_the_default_preset_is_the_same_for_all_methods() -> None:
    fields = TrainConfig.preset("default").model_dump(exclude={"method"})
    assert TrainConfig.preset("default", method="lora").model_dump(exclude={"method"}) == fields
