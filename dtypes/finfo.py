"""What numpy's finfo says of a type, under its names, for any float format."""

from abc import ABC, abstractmethod


class FloatInfo(ABC):
    """Names of numpy.finfo that `FloatFormat` does not use itself.

    numpy's `precision` is a number of decimal digits; ours, as in IEEE 754, of significant bits.
    """

    exponent_bits: int
    mantissa_bits: int

    @property
    @abstractmethod
    def emin(self) -> int:
        """Exponent of the smallest normal value."""

    @property
    @abstractmethod
    def emax(self) -> int:
        """Exponent of the largest value."""

    @property
    def nmant(self) -> int:
        """Stored fraction bits."""
        return self.mantissa_bits

    @property
    def nexp(self) -> int:
        """Bits of the exponent field."""
        return self.exponent_bits

    iexp = nexp

    @property
    def minexp(self) -> int:
        """Exponent of the smallest normal value."""
        return self.emin

    @property
    def maxexp(self) -> int:
        """Least exponent of which the power of two is past the largest value."""
        return self.emax + 1

    @property
    def machep(self) -> int:
        """Exponent of `eps`."""
        return -self.mantissa_bits

    @property
    def negep(self) -> int:
        """Exponent of `epsneg`."""
        return max(-1, self.emin) - self.mantissa_bits

    @property
    def epsneg(self) -> float:
        """Spacing of the values just below 1."""
        return float(2.0**self.negep)

    @property
    def resolution(self) -> float:
        """10^-d, where d decimal digits always survive."""
        # floor(m log10(2)), exactly for every m there is
        return float(10.0 ** -(self.mantissa_bits * 30103 // 100000))
