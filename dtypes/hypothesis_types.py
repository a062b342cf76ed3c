"""Which strategy Hypothesis takes for a type of this package."""

from hypothesis import strategies as st

from halfulp.dtypes.block_format import BLOCK_FORMATS, BlockFormat
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.int_format import IntFormat


def register() -> None:
    """Tell Hypothesis; what draws is imported when something is drawn."""
    st.register_type_strategy(FloatFormat, _float_formats)
    st.register_type_strategy(IntFormat, _int_formats)
    st.register_type_strategy(BlockFormat, st.sampled_from(list(BLOCK_FORMATS.values())))


def _float_formats(_: object) -> st.SearchStrategy[FloatFormat]:
    from halfulp.dtypes.format_strategies import float_formats

    return float_formats()


def _int_formats(_: object) -> st.SearchStrategy[IntFormat]:
    from halfulp.dtypes.format_strategies import int_formats

    return int_formats()
