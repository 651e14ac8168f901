"""From what is typed, or written in YAML, to what a field takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from iisan.cli.options import as_field_takes, build
from iisan.errors import UserError


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (float | None, "none", None),
        (float | None, "None", None),
        (float | None, "null", None),
        (float | None, "0.5", "0.5"),
        (str, "none", "none"),
        (Literal["none", "all"] | None, "none", None),
        (Literal["none", "all"], "none", "none"),
        (str | None, "1,2", "1,2"),
        (str, "1,3,5", "1,3,5"),
        (str, 2024, "2024"),
        (Path | None, "none", None),
        (int, "-1", "-1"),
        (list[int], "5", ["5"]),
        (list[int], ["5,10", "20"], ["5", "10", "20"]),
        (list[int], [5, 10], [5, 10]),
        (list[int], "-1,0", ["-1", "0"]),
        (list[Annotated[int, Field(ge=1)]], "1,2", ["1", "2"]),
        (Literal["paper", "all"] | list[int], "paper", "paper"),
        (Literal["paper", "all"] | list[int], "0,6,12", ["0", "6", "12"]),
        (Literal["paper", "all"] | list[int], 6, [6]),
        (list[str], ["1,2"], ["1,2"]),
        (list[str], ["1,2", "3"], ["1,2", "3"]),
        (list[str], "a b", ["a b"]),
        (list[str], [12, "b"], ["12", "b"]),
        (list[str] | None, ["none"], None),
        (list[str] | None, "none", None),
        (list[str] | None, None, None),
        (list[str], ["none"], ["none"]),
        (tuple[str, ...], ["{a}, {b}"], ["{a}, {b}"]),
        (bool, True, True),
        (int | None, {"a": 1}, {"a": 1}),
    ],
)
def test_values(annotation: Any, given: Any, expected: Any) -> None:
    assert as_field_takes(annotation, given) == expected


class Model(BaseModel):
    taps: Literal["paper"] | list[int] = "paper"
    batch_size: int = Field(8, ge=1)
    name: str


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": "a", "batch_size": "0"},
            "option --batch-size: input should be greater than or equal to 1; see --help",
        ),
        ({"name": "a", "batch_size": None}, "option --batch-size: input should be a valid integer; see --help"),
        ({}, "option --name: it is missing; see --help"),
        ({"name": "a", "taps": ["x"]}, "option --taps: input should be 'paper'; see --help"),
    ],
)
def test_the_option_at_fault_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        build(Model, values)
    assert str(error.value) == message
