"""Options of commands, made from the fields of params dataclasses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import typer

from napari_wbc_nca.params import Field, fields, from_mapping

P = TypeVar("P")
Owners = Mapping[str, type]
"""Params dataclasses by the name of what they belong to, such as a method."""


def with_fields(owners: Owners) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field that any of `owners` has.

    The command takes them as ``**values``. An option that is not given is None there, so that
    the dataclass alone knows the default; the help shows it.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        kept = [item for item in own if item.kind is not inspect.Parameter.VAR_KEYWORD]
        made = [_parameter(name, found) for name, found in _by_name(owners).items()]

        def run(**given: Any) -> None:
            command(**given)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {item.name: item.annotation for item in (*kept, *made)}
        vars(run)["__signature__"] = inspect.Signature([*kept, *made])
        return run

    return decorate


def _by_name(owners: Owners) -> dict[str, dict[str, Field]]:
    """Name of a field to its owners and what each says of it."""
    found: dict[str, dict[str, Field]] = {}
    for owner, cls in owners.items():
        for field in fields(cls):
            found.setdefault(field.name, {})[owner] = field
    return found


def _parameter(name: str, found: Mapping[str, Field]) -> inspect.Parameter:
    field = next(iter(found.values()))
    bounds, flag = field.bounds, name.replace("_", "-")
    number = field.type in (int, float)
    unit = f" ({bounds.unit})" if bounds.unit else ""
    option = typer.Option(
        f"--{flag}/--no-{flag}" if field.type is bool else f"--{flag}",
        help=f"{bounds.help}{unit}. Default: {_defaults(found)}.",
        min=_typed(field, bounds.low) if number else None,
        max=_typed(field, bounds.high) if number else None,
        rich_help_panel="Advanced" if bounds.advanced else "Parameters",
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[field.type | None, option],
    )


def _typed(field: Field, bound: float | None) -> Any:
    return None if bound is None else field.type(bound)


def _defaults(found: Mapping[str, Field]) -> str:
    """Default for the help; by owner where they differ."""
    values = {owner: _shown(field.default) for owner, field in found.items()}
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{owner}: {value}" for owner, value in values.items())


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, int | float):
        return f"{default:g}"
    return str(default) or "none"


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options that were given."""
    return {name: value for name, value in values.items() if value is not None}


def make(cls: type[P], values: Mapping[str, Any]) -> P:
    """`cls` from the options that were given; wrong usage where they do not fit.

    Raises
    ------
    typer.BadParameter
        Naming the parameter, what came and what was expected.
    """
    try:
        return from_mapping(cls, given(values))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
