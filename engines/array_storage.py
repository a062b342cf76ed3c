"""What an array for the prompt holds: codes of a format, seen as values, as codes, as tensors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, Format, IntFormat, decode, numpy_dtype, torch_dtype
from halfulp.engines.core import NeuronCore

Array = npt.NDArray[Any]


@dataclass(frozen=True, repr=False, eq=False)
class StoredArray:
    """Codes of one format, and the core that computes with them; see `array_values.EngineArray`."""

    _codes: Array  # writable, since torch takes no other; what is given away is not
    format: Format
    core: NeuronCore

    def _with(self, codes: Array) -> Self:
        return replace(self, _codes=codes)

    def reshape(self, *shape: Any) -> Self:
        return self._with(self._codes.reshape(*shape))

    @property
    def T(self) -> Self:
        return self._with(self._codes.T)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._codes.shape

    @property
    def ndim(self) -> int:
        return self._codes.ndim

    @property
    def size(self) -> int:
        return self._codes.size

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, index: Any) -> Self:
        return self._with(np.asarray(self._codes[index]))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "an EngineArray does not change; make another: np.where(mask, new, a),"
            " or change a.numpy().copy() and give that to array(x, fmt)"
        )

    def __iter__(self) -> Iterator[Self]:
        return (self[index] for index in range(len(self)))

    def item(self) -> float | int:
        """The one element as a Python number. Raises ValueError for another size."""
        if self.size != 1:
            raise ValueError(f"an array of shape {self.shape} is no single number; index it first")
        number: float | int = self._values.item()
        return number

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __repr__(self) -> str:
        end = f", {self.format})"
        if self.size > np.get_printoptions()["threshold"] or (self.size == 0 and self.ndim > 1):
            end = f", shape={self.shape}{end}"
        body = np.array2string(self._values, separator=", ", prefix="array(", suffix=end)
        return f"array({body}{end}"

    @property
    def _values(self) -> Array:
        """float32, or the integers."""
        if self._holds_values:
            return self._codes.view(np.float32) if self.format == FP32 else self._codes
        return np.asarray(decode(self._codes, self.format))

    @property
    def _holds_values(self) -> bool:
        """Whether the codes' memory is that of the values."""
        return self.format == FP32 or isinstance(self.format, IntFormat)

    def numpy(self) -> Array:
        """The values, read-only: float32, or integers; without copying for fp32 and integers."""
        return _read_only(self._values)

    def codes(self) -> Array:
        """The codes, read-only and without copying: uint8, uint16 or uint32; integers as such."""
        return _read_only(self._codes)

    def ml_dtypes(self) -> Array:
        """The codes as elements of numpy's or ml_dtypes' type, read-only and without copying.

        Raises ValueError for a format without such a type.
        """
        return _read_only(self._codes.view(_typed(numpy_dtype, self.format)))

    def torch(self) -> Any:
        """The codes as a tensor of torch's type of that format; integers as in `numpy`.

        Without copying, but for arrays with negative steps and for those of `np.broadcast_to`. What
        is written into such a tensor is written into the array: write into a clone.

        Raises ValueError for a format without a type, ModuleNotFoundError without torch.
        """
        import torch

        codes = self._codes
        if not codes.flags.writeable or any(step < 0 for step in codes.strides):
            codes = codes.copy()
        if isinstance(self.format, IntFormat):
            return torch.from_numpy(codes)
        dtype = _typed(torch_dtype, self.format)
        return torch.from_numpy(codes).view(dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False and not self._holds_values:
            raise ValueError(f"codes of {self.format} are no float32; their values are a copy")
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        """fp32, fp16 and integers, read-only, as numpy has it. Raises BufferError for others."""
        try:
            return self.ml_dtypes().__dlpack__(**options)
        except (BufferError, ValueError) as error:
            raise BufferError(f"{self.format}: {error}; give a.torch() or a.numpy()") from None

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._codes.__dlpack_device__()


def _typed(find: Callable[[Format], Any], fmt: Format) -> Any:
    try:
        return find(fmt)
    except ValueError as error:
        raise ValueError(f"{error}; a.numpy() has the values, a.codes() the codes") from None


def _read_only(x: Array) -> Array:
    view = x.view()
    view.flags.writeable = False
    return view
