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

NOTHING = {"none", "null"}
# What a list may hold that is not cut at commas.
TEXTS = (str, Path)


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
        fields |= {field: info for field, info in model.model_fields.items() if field not in fields}
    parameters = [_argument(field, fields[field]) for field in arguments]
    parameters += [_option(field, info) for field, info in fields.items() if field not in arguments]
    config = Annotated[Path | None, typer.Option("--config", help="YAML file with options by their names.")]
    parameters.append(inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=config))

    def command(**given: Any) -> None:
        path = given.pop("config")
        values = {} if path is None else read_config(path, set(fields))
        values |= {field: value for field, value in given.items() if value not in (None, (), [])}
        for field in arguments:
            if fields[field].is_required() and field not in values:
                raise UserError(f"{field.upper()} is missing", how="see --help")
        run({field: as_field_takes(fields[field].annotation, value) for field, value in values.items()})

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = run.__doc__
    # Given as it is, or it would be cut to what fits in a line.
    app.command(name, short_help=run.__doc__)(command)


def build(model: Callable[..., Model], values: dict[str, Any]) -> Model:
    """Makes a configuration, or says in one line which option is wrong.

    Raises:
        UserError: A value is missing or not what its option takes.
    """
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = f"option --{str(first['loc'][0]).replace('_', '-')}" if first["loc"] else ""
        message = "it is missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
        raise UserError(f"{message[0].lower()}{message[1:]}", where=option, how="see --help") from error


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
        raise UserError(f"the configuration cannot be read ({error})", where=str(path), how="mend the file") from error
    if not isinstance(data, dict):
        raise UserError("not a mapping of options to values", where=str(path), how="write one `name: value` a line")
    values = {str(key).replace("-", "_"): value for key, value in data.items()}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(f"no option is named {unknown[0]!r}", where=str(path), how="see --help for the names")
    return values


def as_field_takes(annotation: Any, value: Any) -> Any:
    """A value as typed, or as written in YAML, in the form that a field of a model takes.

    ``none`` is None where the field may be None, ``1,2`` a list where it takes numbers, one text a list of one where it
    takes texts, and a number a text where it takes no number. All else is left to pydantic.

    Args:
        annotation: The field's type.
        value: A text, a list of texts, or what YAML made of it.
    """
    parts = _parts(annotation)
    listed = value if isinstance(value, list) else [value]
    if type(None) in parts and len(listed) == 1 and str(listed[0]).lower() in NOTHING:
        return None
    choices = [choice for part in parts if typing.get_origin(part) is Literal for choice in typing.get_args(part)]
    if isinstance(value, dict) or value in choices:
        return value
    lists = [part for part in parts if _is_sequence(part)]
    if lists and typing.get_args(lists[0])[0] in TEXTS:
        return [_as_text(one) for one in listed]
    if lists:
        return [one for part in listed for one in (part.split(",") if isinstance(part, str) else [part])]
    return _as_text(value) if str in parts else value


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _argument(name: str, info: FieldInfo) -> inspect.Parameter:
    argument = typer.Argument(help=_help(info), show_default=False, metavar=name.upper())
    annotation = Annotated[list[str] | None, argument] if _is_list(info.annotation) else Annotated[str | None, argument]
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
    notes = ["may be given more than once"] if _is_list(info.annotation) else []
    if not (info.is_required() or info.default in (None, (), []) or info.default_factory is not None):
        shown = ",".join(map(str, info.default)) if isinstance(info.default, list | tuple) else info.default
        notes.append(f"default: {shown}")
    return f"{text}. [{'; '.join(notes)}]" if notes else f"{text}."


def _is_list(annotation: Any) -> bool:
    parts = _parts(annotation)
    return any(_is_sequence(part) for part in parts) and not any(typing.get_origin(part) is Literal for part in parts)


def _is_sequence(part: Any) -> bool:
    return typing.get_origin(part) in (list, tuple)


def _metavar(annotation: Any) -> str:
    names = []
    for part in _parts(annotation):
        if typing.get_origin(part) is Literal:
            names += [str(value) for value in typing.get_args(part)]
        elif part is type(None):
            names.append("none")
        elif _is_sequence(part):
            of = typing.get_args(part)[0]
            names.append(_type_name(of) if of in TEXTS else "A,B,…")
        else:
            names.append(_type_name(part))
    return "|".join(names)


def _type_name(part: Any) -> str:
    return str(getattr(part, "__name__", "value")).upper().replace("STR", "TEXT")


def _parts(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) is Annotated:
        return _parts(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(part for one in typing.get_args(annotation) for part in _parts(one))
    return (annotation,)
