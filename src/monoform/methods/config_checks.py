"""What every method's settings are checked by when they are made, so that nothing is drawn for what cannot train."""

import math
from collections.abc import Iterable, Sequence

from monoform.errors import InputError


def check_least(config: object, names: Iterable[str], least: int) -> None:
    """Raise InputError unless these settings are finite and at least so much."""
    for name in names:
        value = getattr(config, name)
        if not least <= value < math.inf:
            raise InputError(f"{name} is {value}; give at least {least}")


def check_positive(config: object, names: Iterable[str]) -> None:
    """Raise InputError unless these settings are finite and above 0."""
    for name in names:
        value = getattr(config, name)
        if not 0.0 < value < math.inf:
            raise InputError(f"{name} is {value}; give a number above 0")


def check_shares(config: object, names: Iterable[str]) -> None:
    """Raise InputError unless these settings lie from 0 to 1."""
    for name in names:
        value = getattr(config, name)
        if not 0.0 <= value <= 1.0:
            raise InputError(f"{name} is {value}; give a share from 0 to 1")


def check_choice(config: object, name: str, choices: Sequence[object]) -> None:
    """Raise InputError unless the setting is one of the choices."""
    value = getattr(config, name)
    if value not in choices:
        raise InputError(f"no {name} {value!r}; give one of {', '.join(map(str, choices))}")


def check_categories(categories: Sequence[str]) -> None:
    """Raise InputError for none, or for one that is named twice."""
    if len(categories) == 0 or len(set(categories)) < len(categories):
        raise InputError(f"categories {list(categories)}; give one or more that differ")
