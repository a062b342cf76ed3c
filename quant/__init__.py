"""Policies: in which format each layer of a model computes, and a model under them."""

from halfulp.quant.autocast import ERAS, AutoCast, UnknownFlag
from halfulp.quant.emulate import Emulation, UnusedRule, emulate
from halfulp.quant.policies import POLICIES, UnknownPolicy, named_policy
from halfulp.quant.policy import Policy, Rule, Scaling
from halfulp.quant.refusal import UnsupportedOp

__all__ = [
    "ERAS",
    "POLICIES",
    "AutoCast",
    "Emulation",
    "Policy",
    "Rule",
    "Scaling",
    "UnknownFlag",
    "UnknownPolicy",
    "UnsupportedOp",
    "UnusedRule",
    "emulate",
    "named_policy",
]
