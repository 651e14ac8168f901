from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from iisan.encoders import EncoderConfig, resolve_taps
from iisan.errors import UserError


def test_paper_taps_of_a_12_layer_model() -> None:
    assert resolve_taps("paper", 13) == (0, 2, 4, 6, 8, 10, 12)


def test_paper_taps_keep_the_last_state_of_an_odd_depth() -> None:
    assert resolve_taps("paper", 8) == (0, 2, 4, 6, 7)


@given(n_states=st.integers(1, 40))
def test_taps_are_increasing_and_end_with_the_last_state(n_states: int) -> None:
    for spec in ("paper", "all"):
        taps = resolve_taps(spec, n_states)  # type: ignore[arg-type]
        assert list(taps) == sorted(set(taps))
        assert taps[0] == 0
        assert taps[-1] == n_states - 1


def test_negative_taps_count_from_the_last_state() -> None:
    assert resolve_taps([-1, 0, 3], 7) == (0, 3, 6)


@pytest.mark.parametrize(("spec", "message"), [([7], "no hidden state 7"), ([-8], "-8"), ([6, -1], "twice")])
def test_wrong_taps_are_named(spec: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_taps(spec, 7)


def test_config_refuses_no_taps_and_unknown_fields() -> None:
    with pytest.raises(ValidationError, match="at least one tap"):
        EncoderConfig(model="x", kind="text", taps=[])
    with pytest.raises(ValidationError, match="pool"):
        EncoderConfig(model="x", kind="text", pool="mean")  # type: ignore[call-arg]


def test_config_survives_json() -> None:
    config = EncoderConfig(model="x", kind="image", taps=[0, -1], image_size=64)
    assert EncoderConfig.model_validate_json(config.model_dump_json()) == config
    assert all(field.description for field in EncoderConfig.model_fields.values())
