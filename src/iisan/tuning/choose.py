"""The tuning method that a name stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from iisan.errors import UserError
from iisan.tuning.adapter import AdapterTuning
from iisan.tuning.bitfit import BitFit
from iisan.tuning.full import FullTuning
from iisan.tuning.method import TuningMethod
from iisan.tuning.peft_method import PeftMethod

UNTUNED = ("iisan", "frozen", "id")
PEFT_PREFIX = "peft:"


def is_tuned(method: str) -> bool:
    """Whether a method of training sends gradients through the encoders."""
    return method not in UNTUNED


def tuning_method(name: str, *, adapter_width: int = 64, peft_options: Sequence[str] = ()) -> TuningMethod:
    """Makes a method.

    Args:
        name: ``full``, ``adapter``, ``bitfit``, ``lora`` or ``peft:NAME``.
        adapter_width: Width of the adapters' bottlenecks.
        peft_options: For ``lora`` and ``peft:NAME``, each ``NAME=VALUE`` with a value in YAML.

    Raises:
        UserError: There is no such method, or an option is wrong.
    """
    if name == "lora" or name.startswith(PEFT_PREFIX):
        return PeftMethod(name.removeprefix(PEFT_PREFIX), _parsed(peft_options))
    if peft_options:
        raise UserError(f"method {name!r} is not one of peft's", where="peft_options", how="leave them out")
    if name == "full":
        return FullTuning()
    if name == "bitfit":
        return BitFit()
    if name == "adapter":
        return AdapterTuning(adapter_width)
    raise UserError(f"no way of tuning encoders is called {name!r}", how="use full, adapter, lora, bitfit or peft:NAME")


def _parsed(options: Sequence[str]) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for option in options:
        name, separator, value = option.partition("=")
        if not separator or not name.strip() or name in parsed:
            raise UserError(
                f"{option!r} is not NAME=VALUE with a name of its own", where="peft_options", how="write it like 'r=16'"
            )
        try:
            parsed[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"the value of {option!r} cannot be read", where="peft_options", how="write YAML") from None
    return parsed
