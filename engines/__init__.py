"""NeuronCores: the engines, bit for bit, and what they record."""

from halfulp.engines.accumulated import matmul
from halfulp.engines.accumulation import (
    SYSTOLIC,
    Accumulation,
    Checked,
    Entry,
    IntegerAccumulator,
    Join,
    NanRule,
    Order,
    Wrap,
)
from halfulp.engines.activations import Activation
from halfulp.engines.array_values import EngineArray, array
from halfulp.engines.chips import CHIPS, INFERENTIA1, INFERENTIA2, Chip, Peak
from halfulp.engines.collectives import (
    Collective,
    RingTraffic,
    all_gather,
    all_reduce,
    reduce_scatter,
    ring_traffic,
)
from halfulp.engines.core import NEURONCORE_V1, NEURONCORE_V2, NeuronCore
from halfulp.engines.custom_op import CustomOp, custom_op
from halfulp.engines.datapath import IntegerMatmul
from halfulp.engines.declared_trees import declared_tree
from halfulp.engines.elementwise import AluOp
from halfulp.engines.gpsimd import UnsupportedEngine
from halfulp.engines.integer_lanes import Comparison, IntegerOp
from halfulp.engines.ledger import Ledger, Parameter, Record, recording
from halfulp.engines.operands import UnsupportedFormat
from halfulp.engines.presets import PRESETS, Preset
from halfulp.engines.probes import NoTree
from halfulp.engines.products import Packed

# not when it is asked for: the module of that name would take its place
from halfulp.engines.reveal import reveal
from halfulp.engines.shared_products import row_parallel_matmul
from halfulp.engines.trees import Tree

__all__ = [
    "CHIPS",
    "INFERENTIA1",
    "INFERENTIA2",
    "NEURONCORE_V1",
    "NEURONCORE_V2",
    "PRESETS",
    "SYSTOLIC",
    "Accumulation",
    "Activation",
    "AluOp",
    "Checked",
    "Chip",
    "Collective",
    "Comparison",
    "CustomOp",
    "EngineArray",
    "Entry",
    "IntegerAccumulator",
    "IntegerMatmul",
    "IntegerOp",
    "Join",
    "Ledger",
    "NanRule",
    "NeuronCore",
    "NoTree",
    "Order",
    "Packed",
    "Parameter",
    "Peak",
    "Preset",
    "Record",
    "RingTraffic",
    "Tree",
    "UnsupportedEngine",
    "UnsupportedFormat",
    "Wrap",
    "all_gather",
    "all_reduce",
    "array",
    "custom_op",
    "declared_tree",
    "matmul",
    "recording",
    "reduce_scatter",
    "reveal",
    "ring_traffic",
    "row_parallel_matmul",
]
