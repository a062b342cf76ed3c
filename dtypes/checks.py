"""What the fields of a value may be; the messages name what was given and what is allowed."""

import numpy as np


def integer(value: object, name: str, low: int, high: int) -> int:
    """`value` as an int. Raises TypeError for what is none, ValueError outside low to high."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}={value!r} is not an integer; give {low} to {high}")
    if not low <= value <= high:
        raise ValueError(f"{name}={value} is out of range; allowed: {low} to {high}")
    return int(value)


def flag(value: object, name: str) -> None:
    """Raises TypeError for what is no bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r} is not a bool; give True or False")
