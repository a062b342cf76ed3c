"""A rule made ready for the hot path."""

from halfulp.dtypes import FP32, FloatFormat, Format
from halfulp.quant.policy import Rule, Scaling


class Plan:
    """What each operation of a rule's layers asks of the engines, looked up once.

    out             format of results; fp32 where nothing is cast
    everything      results are cast
    scaled_results  they are multiplied by a power of two first
    used            an operation has run under it
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.operands: Format = rule.operands
        self.scaling = rule.scaling
        self.out: FloatFormat = FP32 if rule.results is None else rule.results
        self.everything = rule.results is not None
        self.scaled_results = self.everything and rule.scaling is Scaling.POWER_OF_TWO
        self.fused = rule.fused
        self.used = False
