"""Make the options of commands from the fields of params dataclasses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Literal, TypeVar

import typer

from napari_wbc_nca.params import Parameter, fields, from_mapping

P = TypeVar("P")
Owners = Mapping[str, type]
"""Name of an owner, such as a method, to its params dataclass."""


def with_fields(owners: Owners) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command with an option for each field of any of `owners`.

    The command takes them as ``**values``. An option that is not given is None there, so that
    the default stays in the dataclass; the help shows it.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        kept = [item for item in own if item.kind is not inspect.Parameter.VAR_KEYWORD]
        made = [_parameter(name, found, owners) for name, found in _by_name(owners).items()]

        def run(**given: Any) -> None:
            command(**given)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {item.name: item.annotation for item in (*kept, *made)}
        vars(run)["__signature__"] = inspect.Signature([*kept, *made])
        return run

    return decorate


def _by_name(owners: Owners) -> dict[str, dict[str, Parameter]]:
    """Group the fields of all owners by name."""
    found: dict[str, dict[str, Parameter]] = {}
    for owner, cls in owners.items():
        for field in fields(cls):
            found.setdefault(field.name, {})[owner] = field
    return found


def _parameter(name: str, found: Mapping[str, Parameter], owners: Owners) -> inspect.Parameter:
    first, flag, kind = next(iter(found.values())), _flag(name), _type(found.values())
    unit = f" ({first.bounds.unit})" if first.bounds.unit else ""
    only = "" if len(found) == len(owners) else f"{', '.join(found)}: "
    option = typer.Option(
        f"{flag}/{_flag(f'no_{name}')}" if kind is bool else flag,
        help=f"{only}{first.bounds.help}{unit}. Default: {_defaults(found)}.",
        min=_widest(min, [field.bounds.low for field in found.values()], kind),
        max=_widest(max, [field.bounds.high for field in found.values()], kind),
        rich_help_panel="Advanced" if first.bounds.advanced else "Parameters",
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _type(found: Iterable[Parameter]) -> Any:
    """Return a type that takes the values of all fields; each owner checks its values later."""
    choices = [field.choices for field in found]
    if all(choices):
        return Literal[tuple(dict.fromkeys(chain(*choices)))]
    types = [field.type for field in found if not field.choices]
    return float if set(types) == {int, float} else types[0]


def _widest(pick: Callable[..., float], bounds: Sequence[float | None], kind: Any) -> Any:
    """Return the widest of all bounds; None for texts, and where one is open."""
    known = [bound for bound in bounds if bound is not None]
    return kind(pick(known)) if kind in (int, float) and len(known) == len(bounds) else None


def _defaults(found: Mapping[str, Parameter]) -> str:
    """Describe the default for the help, by owner where they differ."""
    values = {owner: _default_text(field.default) for owner, field in found.items()}
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{owner}: {value}" for owner, value in values.items())


def _default_text(default: object) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, int | float):
        return f"{default:g}"
    return str(default) or "none"


def drop_unset(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the options that were not given."""
    return {name: value for name, value in values.items() if value is not None}


def make(cls: type[P], values: Mapping[str, Any], owner: str = "") -> P:
    """Make params `cls` from options, None where not given; wrong usage where they do not fit.

    The message begins with `owner`, and says the parameter, its value and what was expected.
    """
    try:
        return from_mapping(cls, drop_unset(values))
    except ValueError as error:
        raise typer.BadParameter(f"{owner}: {error}" if owner else str(error)) from error


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
