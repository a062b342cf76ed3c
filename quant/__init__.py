"""Policies: in which format each layer of a model computes, and a model under them."""

from halfulp.quant.autocast import ERAS, AutoCast, UnknownFlag
from halfulp.quant.policies import POLICIES, UnknownPolicy, named_policy
from halfulp.quant.policy import Policy, Rule, Scaling

__all__ = [
    "ERAS",
    "POLICIES",
    "AutoCast",
    "Policy",
    "Rule",
    "Scaling",
    "UnknownFlag",
    "UnknownPolicy",
    "named_policy",
]
