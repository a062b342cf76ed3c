"""Sine, cosine and arctangent, on float64 lanes that hold float32 numbers.

An angle is reduced to a quadrant and |r| <= pi / 4: near zero with pi / 2 to 160 bits, far from it
with the bits of 2 / pi that its exponent calls for.
"""

from llvmlite import ir

from halfulp.dtypes.lanes import F64, I64, Lanes
from halfulp.engines.coefficients import ARCTAN, COS, SIN
from halfulp.engines.polynomials import ROUNDER, magnitude, polynomial, signed_like

_HALF_PI = tuple(
    map(float.fromhex, ("0x1.921fb54442d18p+0", "0x1.1a62633145c07p-54", "-0x1.f1976b7ed8fbcp-110"))
)
_PER_HALF_PI = float.fromhex("0x1.45f306dc9c883p-1")
#: From here on an angle is far: before, three products with parts of pi / 2 reduce it.
FAR = 2.0**20
_PER_HALF_PI_280 = 0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163ABDEBBC561B7246E
_FRACTION_BITS = 280  # of the integer above
_PART = 27  # bits of a part: its product with a significand of 24 is exact
_LOWEST = -3  # the exponent of the last bit of FAR
_EXPONENTS = 128 - 23 - _LOWEST
_TURN = 4  # quadrants


def far_parts() -> list[float]:
    """2^e 2/pi modulo 4 in four parts of 27 bits, for each exponent e of a far angle's last bit."""
    parts = []
    for row in range(_EXPONENTS):
        scaled = _PER_HALF_PI_280 << row
        unit = _FRACTION_BITS - _LOWEST  # its fraction bits
        scaled %= _TURN << unit
        for place in range(1, 5):
            step = unit + 2 - _PART * place
            parts.append(float(scaled >> step) * 2.0 ** (2 - _PART * place))
            scaled %= 1 << step
    return parts


def near_angle(x: Lanes) -> tuple[Lanes, Lanes]:
    """(r, quadrant as an integer) of |x| < FAR."""
    shifted = x.fma(_PER_HALF_PI, x.like(ROUNDER))
    k = shifted - ROUNDER
    r = x
    for part in _HALF_PI:
        r = k.fma(-part, r)
    return r, shifted.bits(I64)


def far_angle(x: Lanes, table: ir.Value) -> tuple[Lanes, Lanes]:
    """(r, quadrant) of one |x| >= FAR, something of another; `table` points to `far_parts`."""
    builder = x.builder
    size = magnitude(x)
    bits = builder.extract_element(size.bits(I64).value, I64(0))
    # float64 has 29 bits more than float32
    exponent = builder.sub(builder.lshr(bits, I64(52)), I64(1023 + 23 + _LOWEST))
    known = builder.icmp_unsigned("<", exponent, I64(_EXPONENTS))
    exponent = builder.select(known, exponent, I64(0))
    significand = ((size.bits(I64) & ((1 << 52) - 1)) | ((1023 + 23) << 52)).bits(F64)
    products = []
    for part in range(4):
        index = builder.add(builder.shl(exponent, I64(2)), I64(part))
        value = builder.load(builder.gep(table, [index]))
        loaded = builder.insert_element(ir.Constant(x.value.type, ir.Undefined), value, I64(0))
        products.append(significand * Lanes(builder, loaded))
    first, second, third, fourth = products
    shifted = (first + second) + ROUNDER
    turn = (first - (shifted - ROUNDER)) + second
    near = turn + third
    r = (near + ((third - (near - turn)) + fourth)) * _HALF_PI[0]
    backward = x < 0.0
    quadrant = shifted.bits(I64)
    turned = backward.where(quadrant.like(0) - quadrant, quadrant)
    return backward.where(r * -1.0, r), turned


def _sine(r: Lanes) -> Lanes:
    z = r * r
    return (r * z).fma(polynomial(SIN, z), r)


def _cosine(r: Lanes) -> Lanes:
    z = r * r
    return z.fma(z.fma(polynomial(COS, z), z.like(-0.5)), z.like(1.0))


def _of_angle(r: Lanes, quadrant: Lanes) -> Lanes:
    """sin(r + quadrant * pi / 2)."""
    y = (quadrant & 1).equals(0).where(_sine(r), _cosine(r))
    return (y.bits(I64) ^ ((quadrant & 2) << 62)).bits(F64)


def sin(angle: tuple[Lanes, Lanes], x: Lanes) -> Lanes:
    """The sine of x, whose reduced angle is given; a zero keeps its sign."""
    return x.equals(0.0).where(x, _of_angle(*angle))


def cos(angle: tuple[Lanes, Lanes], x: Lanes) -> Lanes:
    """The cosine of x, whose reduced angle is given."""
    r, quadrant = angle
    return _of_angle(r, quadrant + 1)


def arctan(x: Lanes) -> Lanes:
    """A multiple of pi / 4 and arctan(t), |t| <= sqrt(2) - 1: one quotient."""
    a = magnitude(x)
    high, low = a > 2.414213562373095, a > 0.41421356237309503
    # beyond float64's reach of pi / 2, and so that infinity has a quotient
    a = (a > 2.0**80).where(a.like(2.0**80), a)
    over = high.where(a.like(-1.0), low.where(a - 1.0, a))
    under = high.where(a, low.where(a + 1.0, 1.0))
    t = over / under
    z = t * t
    base = high.where(a.like(_HALF_PI[0]), low.where(a.like(_HALF_PI[0] / 2), 0.0))
    y = base + (t * z).fma(polynomial(ARCTAN, z), t)
    return signed_like(y, x)
