"""A model as operations of the engines with every rounding in sight; torch is not needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfulp.dtypes import FloatFormat, round_to
from halfulp.engines import NEURONCORE_V2

Array = NDArray[np.float32]
TENSOR, VECTOR, SCALAR = NEURONCORE_V2.tensor, NEURONCORE_V2.vector, NEURONCORE_V2.scalar


@dataclass(frozen=True)
class Bert:
    """BertModel.

    weights  by the names of torch's parameters
    cast     format of matmul operands
    keep     format of all results, fp32 for matmult
    """

    weights: Mapping[str, Array]
    cast: FloatFormat
    keep: FloatFormat
    layers: int = 2
    heads: int = 4
    eps: float = 1e-12

    def kept(self, name: str) -> Array:
        return round_to(self.weights[name], self.keep)

    def product(self, a: Array, b: Array, **choices: Any) -> Array:
        """Not yet rounded."""
        return TENSOR.matmul(a, b, a_format=self.cast, b_format=self.cast, **choices)

    def linear(self, x: Array, name: str) -> Array:
        """Operands rounded beforehand; then the product of exact values."""
        weight = round_to(self.weights[f"{name}.weight"], self.cast)
        flat = round_to(x.reshape(-1, x.shape[-1]), self.cast)
        bias = self.kept(f"{name}.bias")
        y = self.product(flat, np.ascontiguousarray(weight.T), bias=bias)
        return round_to(y, self.keep).reshape(*x.shape[:-1], -1)

    def norm(self, x: Array, name: str) -> Array:
        gamma, beta = self.kept(f"{name}.weight"), self.kept(f"{name}.bias")
        return round_to(VECTOR.layernorm(x, gamma, beta, self.eps), self.keep)

    def add(self, a: Array, b: Array) -> Array:
        return round_to(a + b, self.keep)

    def attention(self, x: Array, live: NDArray[np.bool_], name: str) -> Array:
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (
            np.ascontiguousarray(self.linear(x, f"{name}.{part}").reshape(shape).swapaxes(1, 2))
            for part in ("query", "key", "value")
        )
        product = self.product(q, k, transpose_b=True)
        scores = round_to(product * np.float32(1 / np.sqrt(q.shape[-1])), self.keep)
        scores = np.where(live[:, None, None, :], scores, np.float32(-np.inf))
        p = round_to(VECTOR.softmax(scores), self.keep)
        context = round_to(self.product(p, v), self.keep)
        return np.ascontiguousarray(context.swapaxes(1, 2)).reshape(x.shape)

    def layer(self, x: Array, live: NDArray[np.bool_], name: str) -> Array:
        context = self.attention(x, live, f"{name}.attention.self")
        dense = self.linear(context, f"{name}.attention.output.dense")
        x = self.norm(self.add(dense, x), f"{name}.attention.output.LayerNorm")
        inner = self.linear(x, f"{name}.intermediate.dense")
        inner = round_to(SCALAR.activation(inner, "gelu"), self.keep)
        dense = self.linear(inner, f"{name}.output.dense")
        return self.norm(self.add(dense, x), f"{name}.output.LayerNorm")

    def __call__(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Array:
        word, kind, place = (
            self.kept(f"embeddings.{part}_embeddings.weight")
            for part in ("word", "token_type", "position")
        )
        x = self.add(word[ids], kind[np.zeros_like(ids)])
        x = self.add(x, place[None, : ids.shape[1]])
        x = self.norm(x, "embeddings.LayerNorm")
        for index in range(self.layers):
            x = self.layer(x, mask.astype(bool), f"encoder.layer.{index}")
        return x
