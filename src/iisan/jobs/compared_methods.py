"""The methods that a comparison knows, as training configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from iisan.errors import UserError
from iisan.training.config import Preset, TrainConfig

UNCACHED = "-uncached"
ALL_METHODS = ("full", "adapter", "lora", "bitfit", "frozen", "iisan-uncached", "iisan", "id")


def method_config(name: str, preset: Preset, options: Mapping[str, Any]) -> TrainConfig:
    """The training configuration of a compared method.

    Args:
        name: A method of ``TrainConfig``; ``iisan-uncached`` and ``frozen-uncached`` run the encoders at every step.
        preset: Gives what `options` leave open.
        options: What all methods share. None of them learns vectors of items beside their content, which is another
            idea than adapting the encoders.

    Raises:
        UserError: There is no such method, or an option is wrong.
    """
    source = "live" if name.endswith(UNCACHED) else "cached"
    method = name.removesuffix(UNCACHED)
    if source == "live" and method not in ("iisan", "frozen"):
        raise UserError(f"no method {name!r}", where="methods", how=f"there are: {', '.join(ALL_METHODS)}, peft:NAME")
    try:
        return TrainConfig.preset(preset, **{"item_ids": False, **options, "method": method, "source": source})
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("method",):
            raise UserError(
                f"no method {name!r}", where="methods", how=f"there are: {', '.join(ALL_METHODS)}, peft:NAME"
            ) from error
        place = f"option {first['loc'][0]}" if first["loc"] else ""
        raise UserError(str(first["msg"]).removeprefix("Value error, "), where=place, how="see --help") from error
