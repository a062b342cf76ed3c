"""halfulp: the number formats and engines of Inferentia1 and Inferentia2, bit for bit, on any CPU.

The layers are `halfulp.dtypes`, `halfulp.engines`, `halfulp.quant` and `halfulp.study`; import the
one you need.
"""

__version__ = "0.1.0"
