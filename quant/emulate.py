"""A model run unchanged, every floating-point operation of it on the engines of one core."""

import threading
import weakref
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from halfulp.engines import CustomOp, Ledger, NeuronCore, recording
from halfulp.engines.memory import reusing_memory
from halfulp.quant.arrays import NotFloat32
from halfulp.quant.composite import decompose
from halfulp.quant.custom_ops import handlers_of
from halfulp.quant.elementwise import Handler
from halfulp.quant.layers import LayerHooks
from halfulp.quant.lower import SCALINGS, handler_of
from halfulp.quant.model_check import check_model
from halfulp.quant.movement import view
from halfulp.quant.plan import Plan
from halfulp.quant.policy import Policy
from halfulp.quant.refusal import refuse
from halfulp.quant.run import Run, is_number
from halfulp.quant.threads import torch_alone
from halfulp.quant.trace import Trace
from halfulp.quant.weights import Weights


class UnusedRule(ValueError):
    """A rule that matched nothing: most likely a misspelled layer name."""


class _Mode(TorchDispatchMode):
    """Hands every operation of its thread to a handler, one of its own before the table's."""

    def __init__(self, run: Run, own: Mapping[Any, Handler]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run, self.own = run, own
        run.mode = self

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        handler = self.own.get(func) or handler_of(func)
        if handler is view:
            return func(*args, **kwargs) if kwargs else func(*args)
        run = self.run
        trace = None if handler is decompose else run.trace
        if trace is not None:
            trace.begin()
        if run.pending is not None and handler is not decompose:
            if func in SCALINGS and is_number(args[1]) and run.scales_pending(args[0]):
                run.pending = None
            else:
                run.settle()
        try:
            result = handler(run, func, args, kwargs or {})
        except NotFloat32 as error:
            raise refuse(func, run.layer, str(error)) from None
        if trace is not None:
            trace.end((args, kwargs), result)
        return result


@dataclass(eq=False)
class _Activation:
    """An emulation at work in one thread.

    transient  begun by a module's hook in another thread than the context's, and ended by it
    """

    emulation: "Emulation"
    run: Run
    stack: ExitStack
    transient: bool


class _Inside(threading.local):
    """The emulations that a thread is inside, innermost last."""

    def __init__(self) -> None:
        self.activations: list[_Activation] = []


_inside = _Inside()
#: Every module under emulation, in any thread.
_bound: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()
_lock = threading.Lock()


class Emulation:
    """A model bound to a core and a policy, for the length of one `with` block; see `emulate`.

    ledger  what ran on the engines, in order; what another thread ran follows when its call ends
    """

    def __init__(
        self, model: nn.Module, core: NeuronCore, policy: Policy, *, allow_unused_rules: bool,
        custom_ops: Iterable[CustomOp],
    ) -> None:  # fmt: skip
        if not isinstance(model, nn.Module):
            raise TypeError(f"model is a {type(model).__name__}, not a torch.nn.Module")
        if not isinstance(core, NeuronCore):
            raise TypeError(
                f"core={core!r} is not a NeuronCore; give NEURONCORE_V1 or NEURONCORE_V2"
            )
        if not isinstance(policy, Policy):
            raise TypeError(f"policy={policy!r} is not a Policy; named_policy reads its name")
        for rule in policy.rules:
            core.tensor.check(rule.operands, rule.operands)
            if rule.results is not None:
                core.check_result(rule.results)
        self.model, self.core, self.policy = model, core, policy
        self.ledger = Ledger()
        self._own = handlers_of(custom_ops, core)
        self._allow_unused = allow_unused_rules
        self._plans = [Plan(rule) for rule in policy.rules]
        self._active = 0
        self._begun = self._closed = False

    def __enter__(self) -> Self:
        if self._begun:
            raise RuntimeError("this emulation has been used; call emulate() again")
        self._meta = check_model(self.model)
        names = [name for name, _ in self.model.named_modules()]
        if not self._allow_unused:
            self._check_patterns(names)
        plan_of = dict(zip(self.policy.rules, self._plans, strict=True))
        self._layers = {name: plan_of[self.policy.rule_for(name)] for name in {*names, ""}}
        self._weights = Weights([*self.model.parameters(), *self.model.buffers()])
        _bind(self.model)
        self._begun = True
        try:
            self._hooks = LayerHooks(self.model, self._enter_layer, self._leave_layer)
            self._main = self._activate(self.ledger, transient=False)
        except BaseException:
            self._unbind()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not _inside.activations or _inside.activations[-1] is not self._main:
            raise RuntimeError("leave the block in the thread that entered it, inner blocks first")
        self._closed = True
        self._deactivate(self._main)
        if kind is None and not self._allow_unused and self.ledger.records:
            # the last rule is the rest, of which there may be none
            unused = [plan.rule.pattern for plan in self._plans[:-1] if not plan.used]
            if unused:
                raise UnusedRule(
                    f"policy {self.policy}: no operation ran under {', '.join(map(repr, unused))};"
                    " an earlier rule took its layers, or they did not run"
                    " (allow_unused_rules=True lets it pass)"
                )

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # a copy of a model holds its hooks: they must stay those of this emulation and end with it
        return self

    def _check_patterns(self, names: list[str]) -> None:
        for rule in self.policy.rules:
            if any(rule.matches(name) for name in names):
                continue
            near = get_close_matches(rule.pattern, names, n=3, cutoff=0.3)
            hint = f"; nearest: {', '.join(near)}" if near else ""
            raise UnusedRule(
                f"policy {self.policy}: {rule.pattern!r} matches no layer of"
                f" {type(self.model).__name__}{hint} (allow_unused_rules=True lets it pass)"
            )

    def _activate(self, ledger: Ledger, *, transient: bool) -> _Activation:
        run = Run(self.core, ledger, self._layers, self._weights)
        if self._meta:
            run.trace = Trace(ledger, self.model)
        with ExitStack() as stack:
            stack.enter_context(torch_alone())
            # on meta torch takes attention apart unless it is shown whole, as inference_mode does
            stack.enter_context(torch.inference_mode() if self._meta else torch.no_grad())
            stack.enter_context(recording(ledger))
            stack.enter_context(reusing_memory())
            stack.enter_context(_Mode(run, self._own))
            activation = _Activation(self, run, stack.pop_all(), transient)
        _inside.activations.append(activation)
        with _lock:
            self._active += 1
        return activation

    def _deactivate(self, activation: _Activation) -> None:
        _inside.activations.remove(activation)
        try:
            activation.run.settle()
        finally:
            activation.stack.close()
            with _lock:
                self._active -= 1
                last = self._closed and not self._active
                if activation.transient:
                    self.ledger.records.extend(activation.run.ledger.records)
            if last:
                self._unbind()

    def _unbind(self) -> None:
        hooks = getattr(self, "_hooks", None)
        if hooks is not None:
            hooks.remove()
        with _lock:
            _bound.difference_update(self.model.modules())

    def _enter_layer(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        activation = _inside.activations[-1] if _inside.activations else None
        if activation is None or activation.emulation is not self:
            if self._closed:
                return
            activation = self._activate(Ledger(), transient=True)
        run = activation.run
        if len(run.path) == 1:
            run.take_inputs((*args, *kwargs.values()))
        run.push(name)

    def _leave_layer(self, name: str) -> None:
        activation = _inside.activations[-1] if _inside.activations else None
        if activation is None or activation.emulation is not self:
            return
        activation.run.pop(name)
        if activation.transient and len(activation.run.path) == 1:
            self._deactivate(activation)


def _bind(model: nn.Module) -> None:
    with _lock:
        if any(module in _bound for module in model.modules()):
            raise RuntimeError(
                f"this {type(model).__name__} or a layer of it is being emulated already; end that"
                " block first, or emulate a copy"
            )
        _bound.update(model.modules())


def emulate(
    model: nn.Module, core: NeuronCore, policy: Policy, *, allow_unused_rules: bool = False,
    custom_ops: Iterable[CustomOp] = (),
) -> Emulation:  # fmt: skip
    """A context in which `model` computes bit for bit as `policy` says on the engines of `core`.

    ```
    with emulate(model, NEURONCORE_V2, named_policy("bf16-matmult")) as emulation:
        logits = model(**inputs).logits
    emulation.ledger.totals()
    ```

    The model stays as it is: every operation below it is lowered to the engines, or merely moves
    data. Operations of the block outside the model (pooling, a head) are emulated too; calls of
    the model from other threads are, other operations of other threads are not. Gradients are off
    in the block, torch has one thread there, and both come back afterwards, whatever happens. A
    weight changed through `.data` within the block is not seen.

    model               any torch.nn.Module in float32 on the CPU, in eval mode. One on the meta
                        device has no data: its results have none, only the ledger is written, as
                        of a second forward, whose constants are cast already, with what each record
                        needs; it counts no overflow. Where the model asks whether something holds
                        of its data, the answer is no
    core                `NEURONCORE_V1` or `NEURONCORE_V2`
    policy              `named_policy(...)`, `AutoCast.parse(...)`, or rules of your own
    allow_unused_rules  let a rule pass that matched no layer or under which nothing ran
    custom_ops          what runs operators of other libraries, `halfulp.engines.custom_op`; their
                        results stay in their own formats, under every policy (a choice of halfulp)

    Raises UnsupportedFormat for a policy that the core cannot run; TypeError, ValueError for a
    model of another type, device or mode; RuntimeError for a model that is being emulated already;
    in the block UnsupportedOp for an operation without a lowering, with its layer; at its start or
    end UnusedRule. Source: where results are rounded is assumed, see `Policy.assumptions`.
    """
    return Emulation(
        model, core, policy, allow_unused_rules=allow_unused_rules, custom_ops=custom_ops
    )
