"""Labelled texts, and the choice of a part of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from halfulp.dtypes.wording import counted


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Texts and their labels, (n,) int64."""

    texts: tuple[str, ...]
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.texts),):
            raise ValueError(
                f"{len(self.texts)} texts with labels of shape {self.labels.shape};"
                " need one label a text"
            )

    @property
    def sha256(self) -> str:
        """Digest of texts and labels, the same on every machine."""
        digest = hashlib.sha256()
        for text, label in zip(self.texts, self.labels.tolist(), strict=True):
            digest.update(f"{label}\t{len(text)}\t{text}\n".encode())
        return digest.hexdigest()

    def subset(self, samples: int | None) -> "Examples":
        """`samples` of the examples, in their order here; all of them when `samples` is None."""
        index = chosen([text.encode() for text in self.texts], samples)
        return Examples(tuple(self.texts[i] for i in index), self.labels[index])


def chosen(keys: Sequence[bytes], samples: int | None) -> np.ndarray:
    """Indices of `samples` keys, ascending: those of the smallest sha256.

    The choice depends on the keys alone, and a smaller choice is part of every larger one.

    Raises:
        ValueError: `samples` is not in 1 to the number of keys.
    """
    if samples is None:
        return np.arange(len(keys))
    if not 1 <= samples <= len(keys):
        raise ValueError(
            f"samples={samples}; this split has 1 to {counted(len(keys), 'sample')} to choose"
        )
    order = sorted(range(len(keys)), key=lambda i: hashlib.sha256(keys[i]).digest())
    return np.sort(np.array(order[:samples], dtype=np.int64))
