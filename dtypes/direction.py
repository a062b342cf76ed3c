"""In which direction a native's floating-point operations round."""

from enum import IntEnum, unique


@unique
class Direction(IntEnum):
    """Numbered as x86's rounding control is."""

    NEAREST = 0
    DOWN = 1
    UP = 2
    CUT = 3  #: toward zero
