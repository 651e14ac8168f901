"""Command-line options from pydantic models, so that flags, configuration files and the library agree.

Each field of a model is an option of the same name; ``--config file.yaml`` gives values by the same names, and what is
given on the command line wins.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from iisan.errors import UserError

Model = TypeVar("Model", bound=BaseModel)
Run = Callable[[dict[str, Any]], None]

_NOTHING = {"none", "null"}


def add_verb(
    app: typer.Typer, name: str, run: Run, models: Sequence[type[BaseModel]], arguments: Sequence[str] = ()
) -> None:
    """Adds a verb whose options are the fields of some models.

    Args:
        app: Where to add it.
        name: The verb.
        run: Receives the values that were given, by field name. Its docstring is the help text.
        models: Fields in order; a field of an earlier model hides one of the same name.
        arguments: Names of fields that are positional.
    """
    fields: dict[str, FieldInfo] = {}
    for model in models:
        fields = {**model.model_fields, **fields} if not fields else {**fields, **_missing(model, fields)}
    parameters = [_argument(field, fields[field]) for field in arguments]
    parameters += [_option(field, info) for field, info in fields.items() if field not in arguments]
    config = Annotated[Path | None, typer.Option("--config", help="YAML file with options by their names.")]
    parameters.append(inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=config))

    def command(**given: Any) -> None:
        path = given.pop("config")
        values = {} if path is None else read_config(path, set(fields))
        explicit = {key: _plain(value) for key, value in given.items() if value not in (None, (), [])}
        run({**values, **explicit})

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = run.__doc__
    app.command(name)(command)


def build(model: Callable[..., Model], values: dict[str, Any]) -> Model:
    """Makes a configuration, or says in one line which option is wrong.

    Raises:
        UserError: A value is missing or not what its option takes.
    """
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-") if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            raise UserError(f"{name.upper()} is missing", how="see --help") from error
        where = f"option --{name}" if name else ""
        raise UserError(f"{message[0].lower()}{message[1:]}", where=where, how="see --help") from error


def chosen(values: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Those of the values that are fields of a model."""
    return {key: value for key, value in values.items() if key in model.model_fields}


def read_config(path: Path, known: set[str]) -> dict[str, Any]:
    """Reads option values from a YAML file.

    Raises:
        UserError: It cannot be read, or has a name that is no option.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"the configuration cannot be read ({first})", where=str(path), how="mend the file") from error
    if not isinstance(data, dict):
        raise UserError("not a mapping of options to values", where=str(path), how="write one `name: value` a line")
    values = {str(key).replace("-", "_"): value for key, value in data.items()}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(f"no option is named {unknown[0]!r}", where=str(path), how="see --help for the names")
    return values


def _missing(model: type[BaseModel], fields: dict[str, FieldInfo]) -> dict[str, FieldInfo]:
    return {name: info for name, info in model.model_fields.items() if name not in fields}


def _argument(name: str, info: FieldInfo) -> inspect.Parameter:
    annotation = Annotated[str | None, typer.Argument(help=_help(info), show_default=False, metavar=name.upper())]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _option(name: str, info: FieldInfo) -> inspect.Parameter:
    flag = f"--{name.replace('_', '-')}"
    if info.annotation is bool:
        option = typer.Option(f"{flag}/--no-{flag[2:]}", help=_help(info), show_default=False)
        annotation: Any = Annotated[bool | None, option]
    else:
        option = typer.Option(flag, help=_help(info), metavar=_metavar(info.annotation), show_default=False)
        annotation = Annotated[list[str] | None, option] if _is_list(info.annotation) else Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(info: FieldInfo) -> str:
    text = (info.description or "").rstrip(".")
    if info.is_required() or info.default in (None, (), []) or info.default_factory is not None:
        return f"{text}."
    shown = ",".join(map(str, info.default)) if isinstance(info.default, list | tuple) else info.default
    return f"{text}. [default: {shown}]".replace("[default", "\\[default")


def _is_list(annotation: Any) -> bool:
    return any(typing.get_origin(part) in (list, tuple) for part in _parts(annotation)) and not any(
        typing.get_origin(part) is Literal for part in _parts(annotation)
    )


def _metavar(annotation: Any) -> str:
    names = []
    for part in _parts(annotation):
        if typing.get_origin(part) is Literal:
            names += [str(value) for value in typing.get_args(part)]
        elif part is type(None):
            names.append("none")
        elif typing.get_origin(part) in (list, tuple):
            names.append("A,B,…" if typing.get_args(part)[0] is not str else "TEXT")
        else:
            names.append(getattr(part, "__name__", "value").upper().replace("STR", "TEXT"))
    return "|".join(names)


def _parts(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(part for one in typing.get_args(annotation) for part in _parts(one))
    return (annotation,)


def _plain(value: Any) -> Any:
    """A value as typed on the command line, closer to what pydantic takes."""
    if isinstance(value, str) and value.lower() in _NOTHING:
        return None
    if isinstance(value, str) and "," in value and all(part.strip().lstrip("-").isdigit() for part in value.split(",")):
        return [int(part) for part in value.split(",")]
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return [one for part in value for one in _numbers_apart(part)]
    return value


def _numbers_apart(text: str) -> list[str]:
    parts = text.split(",")
    return parts if all(part.strip().isdigit() for part in parts) else [text]
