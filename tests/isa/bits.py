"""Digests of casts, matmuls and a forward, to be compared with those of another processor.

`bits.py WEIGHTS PART...` asks for no more than halfulp itself does, and prints JSON at last. Inputs
are made of integers: what comes from numpy's functions has other bits elsewhere.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
import numpy.typing as npt

from halfulp.dtypes import (
    BF16,
    E4M3,
    FORMATS,
    FP16,
    FP32,
    INT8,
    FloatFormat,
    Format,
    IntFormat,
    Overflow,
    Philox,
    Rounding,
    Subnormals,
    decode,
    encode,
    round_to,
)
from halfulp.dtypes.threads import set_num_threads
from halfulp.engines import NEURONCORE_V2, PRESETS, Accumulation, Activation, matmul
from halfulp.engines.functions import evaluate
from tests.isa.parts import PARTS
from tests.quant.written_out import Bert

Array = npt.NDArray[Any]
#: All bfloat16 numbers, as float32.
PATTERNS = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
#: Of the forward: operands and results.
POLICIES = {"bf16-all": (BF16, BF16), "e4m3-matmult": (E4M3, FP32)}


def choices(fmt: Format) -> Iterator[dict[str, Any]]:
    """What may be said of a cast: every rounding with every overflow, then the other choices."""
    has_nan = isinstance(fmt, IntFormat) or fmt.has_nan
    base = {} if has_nan else {"nan": "zero"}
    # an integer format saturates whatever is said, and a format without NaN cannot give one
    overflows = [one for one in Overflow if has_nan or one is not Overflow.NAN]
    for overflow in overflows[:1] if isinstance(fmt, IntFormat) else overflows:
        for rounding in Rounding:
            noise = Philox(2026, step=3) if rounding is Rounding.STOCHASTIC else None
            yield {**base, "rounding": rounding, "overflow": overflow, "random": noise}
    for subnormals in (Subnormals.FLUSH_INPUTS, Subnormals.FLUSH_OUTPUTS):
        yield {**base, "subnormals": subnormals}
    if not has_nan:
        yield {"nan": "max"}


def casts() -> Iterator[Array]:
    """Codes and values of all bfloat16 numbers in every format, and the values of all codes."""
    for fmt in FORMATS.values():
        for given in choices(fmt):
            yield encode(PATTERNS, fmt, **given)
            yield round_to(PATTERNS, fmt, **given)
        if isinstance(fmt, FloatFormat):
            step = max(fmt.bits - 16, 0)
            codes = np.arange(1 << (fmt.bits - step), dtype=np.int64) << step
            yield decode(codes.astype(fmt.code_dtype), fmt)


def _operands(fmt: Format) -> tuple[Array, Array]:
    """a (2, 37, 300) and b (300, 45): integers times powers of two from 2^-7 to 2^7."""
    random = np.random.default_rng(7)
    both = []
    for shape in ((2, 37, 300), (300, 45)):
        x = random.integers(-127, 128, shape).astype(np.float32)
        if isinstance(fmt, FloatFormat):
            x = np.ldexp(x, random.integers(-7, 1, shape)).astype(np.float32) / np.float32(16)
        both.append(x)
    return both[0], both[1]


def systolic() -> Iterator[Array]:
    """Products of the systolic array, in bfloat16 and in int8."""
    for fmt in (BF16, INT8):
        a, b = _operands(fmt)
        yield NEURONCORE_V2.tensor.matmul(a, np.stack([b, b]), a_format=fmt)


def integers() -> Iterator[Array]:
    """Products as a machine's own instruction adds them: saturated at every step."""
    preset = PRESETS["zen4-vpdpbusds-uint8-int32"]
    a, b = _operands(INT8)
    formats = {"a_format": preset.a_format, "b_format": preset.b_format}
    yield matmul(a, b, accumulation=preset.accumulation, **formats)


def accumulated() -> Iterator[Array]:
    """Products in other sums: blocks as a GPU adds them, and a float16 accumulator."""
    a, b = _operands(FP16)
    for how in (PRESETS["h100-wmma-fp16-fp32"].accumulation, Accumulation(accumulator=FP16)):
        yield matmul(a, b, accumulation=how, a_format=FP16)


def functions() -> Iterator[Array]:
    """Every function of all bfloat16 numbers, and of float32 between them."""
    between = (PATTERNS.view(np.uint32) + np.arange(1 << 16, dtype=np.uint32) % 65521).view(
        np.float32
    )
    for function in Activation:
        yield evaluate(function, PATTERNS, slope=0.01)
        yield evaluate(function, between, slope=0.01)


def _by_torch(policy: str) -> Array:
    """The same model, run by torch and emulated: a second way to the same bits."""
    from tests.quant.tiny import emulated, inputs, tiny

    return emulated(tiny("BertModel"), policy, inputs())[0].numpy()


def forwards(weights: Path, *, torch: bool) -> Iterator[Array]:
    """A BERT of two layers under two policies, written out in operations of the engines."""
    with np.load(weights, allow_pickle=False) as given:
        arrays = dict(given)
    ids, mask = arrays.pop("input_ids"), arrays.pop("attention_mask")
    for policy, (cast, keep) in POLICIES.items():
        result = Bert(arrays, cast, keep)(ids, mask)
        if torch and _by_torch(policy).tobytes() != result.tobytes():
            raise SystemExit(f"{policy}: torch and the operations written out differ")
        yield result


def digest(name: str, results: Iterable[Array]) -> str:
    start, total, count = time.monotonic(), hashlib.sha256(), 0
    for result in results:
        count += 1
        total.update(result.tobytes())
    print(f"{name}: {count} results, {time.monotonic() - start:.0f} s", flush=True)
    return total.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", type=Path)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--without-torch", action="store_true")
    given = parser.parse_args()
    torch = find_spec("torch") is not None and not given.without_torch
    set_num_threads(2)
    work: dict[str, Callable[[], Iterator[Array]]] = {
        "casts": casts,
        "systolic": systolic,
        "integers": integers,
        "accumulated": accumulated,
        "functions": functions,
        "forward": partial(forwards, given.weights, torch=torch),
    }
    found = {name: digest(name, work[name]()) for name in given.parts}
    name = llvmlite.binding.get_host_cpu_name()
    print(json.dumps({"parts": found, "torch": torch, "processor": name}))


if __name__ == "__main__":
    main()
