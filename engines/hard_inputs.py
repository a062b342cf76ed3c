"""Inputs that lie so near to a tie that float64 falls on its wrong side: bits in, bits out.

Found by `halfulp verify --function` among all 2^32 inputs, decided by MPFR.
"""

from collections.abc import Mapping

from halfulp.engines.activations import Activation

HARD_INPUTS: Mapping[Activation, Mapping[int, int]] = {}
