"""Fast casts of whole arrays; `halfulp.dtypes.reference` is their slow, exact twin.

Every array is C-contiguous; `out` may be the source where the types are equal. NaN results are
canonical: quiet, sign 0. Subnormals are kept: `halfulp.dtypes.subnormals` flushes.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import drivers, drivers64, drivers_wide
from halfulp.dtypes.addresses import address
from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.jit import Kernel
from halfulp.dtypes.noise import signed64
from halfulp.dtypes.parameters import (
    Parameters,
    fast32,
    noise32,
    odd_float32,
    parameters32,
    parameters64,
)
from halfulp.dtypes.random_bits import GivenBits, Philox
from halfulp.dtypes.rounding import Overflow, Rounding, Subnormals
from halfulp.dtypes.shortcut import Shortcut, make_shortcut
from halfulp.dtypes.threads import parallel, split

__all__ = ["decode", "encode", "round_values", "shortcut", "widen"]

Array = npt.NDArray[Any]
#: Above this size the result cannot stay in the caches: write past them.
_STREAMING_BYTES = 8 << 20
#: Below this many elements a second thread costs more than it saves.
_PARALLEL_ELEMENTS = 1 << 17


@dataclass(frozen=True)
class _Plan:
    """How the float32 kernels serve a conversion from a type."""

    round: Kernel
    encoders: dict[int, Kernel]
    given: Parameters
    noisy: bool

    @functools.cached_property
    def address(self) -> int:
        """Of the parameters."""
        return address(self.given)


def _plan(made: Conversion, itemsize: int) -> _Plan | None:
    """None where the float32 kernels do not serve the format, the rounding or the source."""
    if isinstance(made.random, GivenBits):  # to keep it would keep an array
        return _made_plan(made, itemsize)
    return _kept_plan(made, itemsize)


def _made_plan(made: Conversion, itemsize: int) -> _Plan | None:
    fmt = _float(made)
    given = parameters32(fmt, made.overflow, made.rounding, made.nan, made.random_bits)
    if made.rounding is Rounding.STOCHASTIC:  # a number rounded to odd has lost bits of its share
        if itemsize == 8 or not noise32(fmt):
            return None
        return _Plan(drivers.NOISE_ROUND, drivers.NOISE_ENCODE, given, noisy=True)
    if not fast32(fmt):
        return None
    # in float32 nothing is past the largest values of a format that reaches as far
    told = fmt.emax < 127 or made.overflow is not Overflow.NAN
    if itemsize == 8 and not (told and odd_float32(fmt)):
        return None
    made_for = drivers_wide if itemsize == 8 else drivers
    if made.rounding is Rounding.NEAREST_EVEN:
        return _Plan(made_for.ROUND, made_for.ENCODE, given, noisy=False)
    if made.rounding is Rounding.TO_ODD:
        return _Plan(made_for.ODD_ROUND, made_for.ODD_ENCODE, given, noisy=False)
    return _Plan(made_for.DIRECTED_ROUND, made_for.DIRECTED_ENCODE, given, noisy=False)


_kept_plan = functools.lru_cache(1024)(_made_plan)


def shortcut(made: Conversion) -> Shortcut | None:
    """For conversions of float32 to a float format that ask for nothing else."""
    plain = isinstance(made.fmt, FloatFormat) and made.subnormals is Subnormals.KEEP
    plan = _plan(made, 4) if plain and not made.refuses_nan else None
    if plan is None or plan.noisy:
        return None
    return make_shortcut(plan.round, plan.address, _PARALLEL_ELEMENTS)


def round_values(x: Array, out: Array, made: Conversion) -> None:
    """out[i] = the value that x[i] is rounded to, once; float32 or float64, out of x's type."""
    plan = _plan(made, x.itemsize)
    if plan is not None:
        _run_plan(plan, plan.round, x, out, made)
        return
    codes = np.empty(x.shape, _float(made).code_dtype)
    encode(x, codes, made)
    decode(codes, out, _float(made))


def encode(x: Array, out: Array, made: Conversion) -> None:
    """out[i] = code of the value that x[i] is rounded to, once; float32 or float64."""
    plan = _plan(made, x.itemsize)
    if plan is not None:
        _run_plan(plan, plan.encoders[out.itemsize], x, out, made)
        return
    if x.itemsize == 4:
        wide = np.empty(x.shape, np.float64)
        widen(x, wide)
        x = wide
    given = parameters64(_float(made), made.rounding, made.overflow, made.nan, made.random_bits)
    if made.rounding is Rounding.STOCHASTIC:
        _run_with_noise(drivers64.NOISE_ENCODE[out.itemsize], x, out, address(given), made)
    else:
        _run(drivers64.ENCODE[out.itemsize], x, out, address(given))


def _run_plan(plan: _Plan, driver: Kernel, x: Array, out: Array, made: Conversion) -> None:
    if plan.noisy:
        _run_with_noise(driver, x, out, plan.address, made)
    else:
        _run(driver, x, out, plan.address)


def decode(codes: Array, out: Array, fmt: FloatFormat) -> None:
    """out[i] = value of codes[i], as float32 or float64."""
    if out.itemsize == 8:
        single = np.empty(codes.shape, np.float32)
        decode(codes, single, fmt)
        widen(single, out)
    elif fast32(fmt):
        given = parameters32(fmt, Overflow.INF)
        _run(drivers.DECODE[codes.itemsize], codes, out, address(given))
    else:
        given = parameters64(fmt, Rounding.NEAREST_EVEN, Overflow.INF)
        _run(drivers64.DECODE[codes.itemsize], codes, out, address(given))


def widen(x: Array, out: Array) -> None:
    """out[i] = the float32 x[i] as float64; numpy's conversion may flush subnormals."""
    _run(drivers64.WIDEN, x, out, 0)


def _float(made: Conversion) -> FloatFormat:
    assert isinstance(made.fmt, FloatFormat)
    return made.fmt


def _pieces(x: Array, place: int, size: int) -> tuple[bool, list[tuple[int, int]]]:
    """Whether to write past the caches, and the parts for the threads.

    They start at multiples of 64 elements, so that streaming stores stay aligned.
    """
    count = x.size
    if count < _PARALLEL_ELEMENTS:
        return False, [(0, count)]
    streaming = count * size >= _STREAMING_BYTES and place % 64 == 0 and address(x) != place
    return streaming, split(count, 64, _PARALLEL_ELEMENTS // 2)


def _run(driver: Kernel, x: Array, out: Array, parameters: int) -> None:
    source, place = address(x), address(out)
    step_in, step_out = x.itemsize, out.itemsize
    streaming, pieces = _pieces(x, place, step_out)
    parts = [
        (source + a * step_in, place + a * step_out, parameters, b - a, int(streaming))
        for a, b in pieces
    ]
    parallel(driver, parts)


def _run_with_noise(
    driver: Kernel, x: Array, out: Array, parameters: int, made: Conversion
) -> None:
    random = made.random
    bits = random.for_shape(x.shape) if isinstance(random, GivenBits) else None
    # past the caches a store waits for memory, which is idle while noise is made
    _, pieces = _pieces(x, address(out), out.itemsize)
    parts = []
    for a, b in pieces:
        places = address(x) + a * x.itemsize, address(out) + a * out.itemsize
        noise, counter = 0, (0, 0, 0, 0)
        if bits is not None:
            noise = address(bits) + 4 * a
        else:
            assert isinstance(random, Philox)
            words = signed64(random.seed), signed64(random.step)
            counter = (random.start + a, *words, 32 - random.random_bits)
        parts.append((*places, parameters, b - a, noise, *counter))
    parallel(driver, parts)
