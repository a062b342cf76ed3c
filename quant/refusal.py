"""What the emulation does not know: it says so, with the operation and the layer."""

from typing import Any

_FAST_PATH = "a fused fast path hides its parts: torch.backends.mha.set_fastpath_enabled(False)"
_LOSS = "a loss is no inference: call the model without labels"
_RANDOM = "random numbers are not emulated: draw them outside the `with emulate` block"
#: Parts of an operation's name, and what to do when it is met.
HINTS: dict[str, str] = {
    "dropout": "dropout belongs to training: call model.eval()",
    "bernoulli": "dropout belongs to training: call model.eval()",
    "backward": "emulation is inference: leave the `with emulate` block before you call backward()",
    "log_softmax": _LOSS,
    "nll_loss": _LOSS,
    "cross_entropy": _LOSS,
    "_loss": _LOSS,
    "multi_head_attention": _FAST_PATH,
    "transformer_encoder": _FAST_PATH,
    "uniform": _RANDOM,
    "rand": _RANDOM,
    "normal": _RANDOM,
}
_DEFAULT = (
    "no instruction of the engines stands for it; if it need not be emulated, compute it outside"
    " the `with emulate` block"
)


class UnsupportedOp(RuntimeError):
    """A floating-point operation that the emulation cannot express on the engines.

    operation  its name, such as "aten.conv1d.default"
    layer      name of the module that ran it; "" for the model itself and outside it
    """

    def __init__(self, operation: str, layer: str, reason: str) -> None:
        where = f"in layer {layer!r}" if layer else "in the model's own forward or outside it"
        super().__init__(f"{operation} {where}: {reason}")
        self.operation, self.layer = operation, layer


def refuse(func: Any, layer: str, reason: str | None = None) -> UnsupportedOp:
    """The error for an operation; without a reason, the hint that its name gives."""
    name = str(func)
    if reason is None:
        reason = next((hint for part, hint in HINTS.items() if part in name), _DEFAULT)
    return UnsupportedOp(name, layer, reason)
