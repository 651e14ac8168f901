"""How a log is split, as plain data, so that what a model was trained on can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from iisan.data.dataset import Dataset
from iisan.data.global_time import global_time
from iisan.data.held_out import held_out_rows
from iisan.data.leave_one_out import leave_one_out
from iisan.data.split import Catalogue, Split, SplitKind
from iisan.errors import UserError


class SplitOptions(BaseModel):
    """Options of either split; the defaults are what was done before an option existed.

    Attributes:
        split: How the log is split.
        valid_share: With ``global_time``: share of the interactions in the validation part.
        test_share: With ``global_time``: share of them in the test part.
        min_interactions: Users with fewer are left out.
        keep_last: Last items kept of a history; None keeps all.
        catalogue: What is ranked.
        hold_out_items: Share of the catalogue that training may not see.
        hold_out_seed: Seed of the choice of those items.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: SplitKind = "leave_one_out"
    valid_share: float = 0.1
    test_share: float = 0.1
    min_interactions: int = 5
    keep_last: int | None = None
    catalogue: Catalogue = "all"
    hold_out_items: float = 0.0
    hold_out_seed: int = 0

    @classmethod
    def of_training(cls, training: Mapping[str, Any]) -> Self:
        """The options among those of a training run; without a seed of its own the choice of items takes the run's.

        Args:
            training: Options of the run by name, as a model folder keeps them; those that an older version did not
                know are missing.

        Raises:
            UserError: An option has a value that it cannot have.
        """
        options = {name: training[name] for name in cls.model_fields if name in training}
        if options.get("hold_out_seed") is None:
            options["hold_out_seed"] = training.get("seed", 0)
        try:
            return cls(**options)
        except ValidationError as error:
            first = error.errors()[0]
            raise UserError(
                f"the training option {first['loc'][0]} cannot be {first['input']!r}",
                how="mend the details in the model's config.json",
            ) from error

    def apply(self, dataset: Dataset) -> Split:
        """Splits a dataset.

        Raises:
            UserError: It cannot be split so.
        """
        held_out = held_out_rows(dataset.n_items, self.hold_out_items, self.hold_out_seed)
        if self.split == "leave_one_out":
            return leave_one_out(
                dataset,
                min_interactions=self.min_interactions,
                keep_last=self.keep_last,
                catalogue=self.catalogue,
                held_out=held_out,
            )
        return global_time(
            dataset,
            valid_share=self.valid_share,
            test_share=self.test_share,
            min_interactions=self.min_interactions,
            keep_last=self.keep_last,
            catalogue=self.catalogue,
            held_out=held_out,
        )
