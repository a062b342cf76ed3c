"""What users pass as numbers: opened as numpy arrays for the kernels, results given back in kind.

torch is found when the caller has imported it; nothing here imports it.
"""

import sys
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.dtype_names import CODES
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.wording import kind_of

Array = npt.NDArray[Any]

_NUMBERS = frozenset(
    {"float32", "float64", "bool"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
#: Integer types of ml_dtypes.
_SMALL_INTEGERS = frozenset({"int2", "uint2", "int4", "uint4", "int1", "uint1"})
_NATIVE = frozenset(np.dtype(name) for name in _NUMBERS)
_ALLOWED = "floats of up to 64 bits, integers and bool"


class Source(NamedTuple):
    """An opened argument.

    array      a native numpy view of the data, any strides, not to be written: float32, float64,
               integers, bool, or codes
    codes_of   the format of the codes, None when the elements are plain numbers
    device     of a torch tensor; None for everything else
    scalar     whether a number was given
    widened    whether the elements were integers, which `array` holds as floats
    """

    array: Array
    codes_of: FloatFormat | None
    device: Any = None
    scalar: bool = False
    widened: bool = False

    @property
    def keeps_type(self) -> bool:
        """Whether the elements are float32 or float64."""
        return self.array.dtype.kind == "f" and not self.widened

    def give_back(self, result: Array) -> Any:
        """`result` as the kind of container, on the device, that was opened."""
        if self.device is not None:
            tensor = sys.modules["torch"].from_numpy(result)
            return tensor if self.device.type == "cpu" else tensor.to(self.device)
        return result[()] if self.scalar else result


def is_tensor(x: object) -> bool:
    """Whether `x` is a torch tensor; False as long as nobody has imported torch."""
    torch = sys.modules.get("torch")
    # in another thread torch may be half imported
    return torch is not None and isinstance(x, getattr(torch, "Tensor", ()))


def open_source(x: object) -> Source:
    """Open a numpy array, a torch tensor, a number, or what numpy makes an array of.

    Raises TypeError for elements that are no real numbers of at most 64 bits and for masked arrays,
    ValueError for a tensor without data.
    """
    if type(x) is np.ndarray:
        return _open_array(x, scalar=False)
    if is_tensor(x):
        return _open_tensor(x)
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError("a masked array would lose its mask; give x.filled(value) or x.data")
    if isinstance(x, int) and not -(2**63) <= x < 2**64:
        return Source(np.array(_odd_float(x)), None, scalar=True, widened=True)
    return _open_array(np.asarray(x), scalar=isinstance(x, int | float | np.generic))


def open_out(out: object, source: Source, dtype: np.dtype[Any]) -> Array:
    """`out` as a numpy array to be written, after the checks.

    Raises TypeError for a container of another kind than the source's; ValueError for another shape
    or type, for what cannot be written, and for a tensor that is not on the CPU or requires grad.
    """
    if source.device is not None:
        array = _open_out_tensor(out)
    elif isinstance(out, np.ndarray):
        array = out
    else:
        raise TypeError(f"out is {kind_of(out)}; give a numpy array, as x is no tensor")
    shape = source.array.shape
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"out has shape {array.shape} and type {array.dtype};"
            f" needed: shape {shape}, type {dtype}"
        )
    if not array.flags.writeable:
        raise ValueError("out is read-only; give an array that may be written")
    if not array.flags.c_contiguous and _repeats(array):
        raise ValueError("out repeats elements (a stride is 0); give an array of its own memory")
    _refuse_overlap(array, source.array)
    return array


def _repeats(array: Array) -> bool:
    return any(
        step == 0 and size > 1 for step, size in zip(array.strides, array.shape, strict=True)
    )


def _refuse_overlap(out: Array, x: Array) -> None:
    """Raises ValueError where out shares memory with x, unless it is exactly x."""
    if not np.may_share_memory(out, x):
        return
    address = out.__array_interface__["data"][0]
    if (
        address == x.__array_interface__["data"][0]
        and out.strides == x.strides
        and out.dtype == x.dtype
    ):
        return
    try:
        overlap = np.shares_memory(out, x, max_work=100_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        overlap = True
    if overlap:
        raise ValueError("out overlaps x without being x; give x itself, or memory of its own")


def _odd_float(x: int) -> float:
    """An integer of any size rounded to odd: rounding it again to 24 bits or fewer is right."""
    magnitude = abs(x)
    dropped = magnitude.bit_length() - 53
    kept = magnitude >> dropped
    odd = kept | (magnitude != kept << dropped)
    try:
        result = float(odd << dropped)
    except OverflowError:
        result = sys.float_info.max  # beyond every format, and odd
    return -result if x < 0 else result


def _open_array(array: Array, *, scalar: bool) -> Source:
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    dtype = array.dtype
    if dtype in _NATIVE:
        return Source(array, None, None, scalar)
    if dtype.name in CODES:
        fmt = CODES[dtype.name]
        codes = array.view(f"u{dtype.itemsize}")
        if fmt.bits < 8:  # what stands in the other bits of the byte is not said
            codes = codes & np.uint8((1 << fmt.bits) - 1)
        return Source(codes, fmt, scalar=scalar)
    if dtype.name in _SMALL_INTEGERS:
        return Source(array.astype(np.int8), None, scalar=scalar)
    raise TypeError(f"elements of type {dtype} are not taken; allowed: {_ALLOWED}")


def _open_tensor(x: Any) -> Source:
    torch = sys.modules["torch"]
    if x.layout is not torch.strided:
        raise TypeError(f"a tensor of layout {x.layout} is not taken; give x.to_dense()")
    if x.device.type == "meta":
        raise ValueError("a tensor on the meta device holds no numbers; give one with data")
    name = str(x.dtype).removeprefix("torch.")
    data = x.detach() if x.is_cpu else x.detach().cpu()
    if name in CODES:
        codes = data.resolve_neg().view(torch.uint16 if data.element_size() == 2 else torch.uint8)
        return Source(codes.numpy(), CODES[name], x.device)
    if name in _NUMBERS:
        return Source(data.resolve_neg().numpy(), None, x.device)
    raise TypeError(f"elements of type {x.dtype} are not taken; allowed: {_ALLOWED}")


def _open_out_tensor(out: Any) -> Array:
    torch = sys.modules["torch"]
    if not is_tensor(out):
        raise TypeError(f"out is {kind_of(out)}; give a torch tensor, as x is one")
    if out.device.type != "cpu" or out.layout is not torch.strided:
        raise ValueError(f"out is {out.layout} on {out.device}; give a dense tensor on the CPU")
    if out.requires_grad:
        raise ValueError("out requires grad; give out.detach(), or leave out= away")
    if str(out.dtype).removeprefix("torch.") not in _NUMBERS:
        raise ValueError(f"out has type {out.dtype}; results are float32, float64 or integers")
    torch.autograd.graph.increment_version(out)  # autograd must see that numpy writes here
    return out.numpy()
