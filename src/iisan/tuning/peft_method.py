"""Low-rank and kindred methods, by the `peft` library."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from iisan.encoders.encoder import Encoder
from iisan.errors import UserError
from iisan.tuning.transformer_blocks import TransformerBlock, transformer_blocks

# Rank 8 on queries and values is the paper's; twice the rank as alpha is what LoRA's authors use most.
LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0}
# Names that are an option of LoRA in `peft`, not a type of its own.
VARIANTS_OF_LORA: dict[str, dict[str, Any]] = {"lora": {}, "dora": {"use_dora": True}, "rslora": {"use_rslora": True}}
CONFIG = "adapter_config.json"


class PeftMethod:
    """A method of ``peft`` that adapts projections: LoRA, DoRA, IA³, VeRA, LoHa, OFT and others.

    By default it adapts queries and values, as the paper's LoRA does; IA³ keys, values and the feed-forward output, as
    its own paper does.

    Args:
        name: ``"lora"``, or the name of any such method in ``peft``, in small letters.
        options: Of the method's configuration in ``peft``, over the defaults here.

    Raises:
        UserError: ``peft`` has no such method, it does not adapt projections, or an option is wrong.
    """

    whole_model_trains = False

    def __init__(self, name: str = "lora", options: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.options = dict(options or {})
        self._kind = _config_class(name)
        known = set(inspect.signature(self._kind).parameters)
        if "target_modules" not in known:
            raise UserError(
                f"{name!r} does not adapt projections, so it does not fit an encoder whose tokens are pooled",
                where="method",
                how="use lora, dora, ia3, vera, loha, oft or another method with target_modules",
            )
        unknown = sorted(set(self.options) - known)
        if unknown:
            raise UserError(
                f"{name!r} has no option {unknown[0]!r}", where="peft options", how=f"see peft.{self._kind.__name__}"
            )

    def attach(self, encoder: Encoder) -> None:
        """Wraps the encoder's module by ``peft``.

        Raises:
            UserError: The model has no Transformer blocks, or ``peft`` refuses it.
        """
        from peft import get_peft_model

        config = self._config(transformer_blocks(encoder), encoder.module)
        try:
            encoder.module = get_peft_model(encoder.module, config).eval()
        except (ValueError, TypeError, KeyError, NotImplementedError) as error:
            raise UserError(
                f"{self.name!r} cannot adapt this model ({str(error).splitlines()[0]})",
                where=str(encoder.identity.get("model")),
                how="use lora or adapter",
            ) from error

    def save(self, module: nn.Module, folder: Path) -> None:
        """Writes ``adapter_config.json`` and ``adapter_model.safetensors``, which ``peft`` reads anywhere."""
        module.save_pretrained(folder)  # type: ignore[operator]

    def load(self, encoder: Encoder, folder: Path) -> None:
        """Puts them back.

        Raises:
            UserError: The files are missing, damaged, or of another model.
        """
        from peft import PeftModel

        try:
            json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            # Its type hints want a PreTrainedModel, which every encoder's module is.
            loaded: Any = PeftModel.from_pretrained(encoder.module, folder, is_trainable=True)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise UserError(
                f"the adapter cannot be read ({str(error).splitlines()[0]})",
                where=str(folder),
                how="copy the model's folder again, whole",
            ) from error
        encoder.module = loaded.eval()

    def _config(self, blocks: list[TransformerBlock], module: nn.Module) -> Any:
        options: dict[str, Any] = {**_targets(self.name, blocks), **_defaults(self.name), **self.options}
        transposed = any(type(part).__name__ == "Conv1D" for part in module.modules())
        if transposed and "fan_in_fan_out" in inspect.signature(self._kind).parameters:
            options["fan_in_fan_out"] = True
        try:
            return self._kind(**options)
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{self.name!r} does not take its options ({str(error).splitlines()[0]})",
                where="peft options",
                how=f"see peft.{self._kind.__name__}",
            ) from error


def _config_class(name: str) -> type[Any]:
    try:
        import peft
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
    except ImportError:
        raise UserError(f"method {name!r} needs peft", where="method", how="pip install 'iisan[peft]'") from None
    if name in VARIANTS_OF_LORA:
        return peft.LoraConfig
    known = {str(kind.value).lower(): config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    if name not in known:
        raise UserError(f"peft has no method {name!r}", where="method", how=f"it has: {', '.join(sorted(known))}")
    return known[name]


def _defaults(name: str) -> dict[str, Any]:
    return {**LORA, **VARIANTS_OF_LORA[name]} if name in VARIANTS_OF_LORA else {}


def _targets(name: str, blocks: list[TransformerBlock]) -> dict[str, list[str]]:
    if name == "ia3":
        outputs = [block.feed_forward_output for block in blocks]
        attention = [part for block in blocks for part in (block.keys, block.values)]
        return {"target_modules": list(dict.fromkeys([*attention, *outputs])), "feedforward_modules": outputs}
    return {"target_modules": list(dict.fromkeys(part for block in blocks for part in (block.queries, block.values)))}
