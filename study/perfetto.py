"""Timelines of engines as a trace for Perfetto: a track for each engine, a slice for each record.

The trace opens in Perfetto's page, without a network too, and its trace_processor answers SQL
about it: `SELECT count(*) FROM slice` is the number of records. Numbers of fields are those of
Perfetto's protos trace_packet, track_descriptor, track_event and debug_annotation.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from halfulp.engines import Ledger, Record
from halfulp.study.files import write_whole
from halfulp.study.protobuf import field
from halfulp.study.timeline import Slot

_NANOSECONDS = 1e9
_MOST_S = 1e9  # some 30 years; trace_processor has 63 bits for the nanoseconds
#: All packets are of one sequence.
_SEQUENCE = 1
_STATE_CLEARED = 1
_SLICE_BEGIN, _SLICE_END = 1, 2


def trace(ledger: Ledger, slots: Sequence[Slot]) -> bytes:
    """The trace of a ledger whose records run in `slots`, one each, in any order.

    A slice has the record's instruction as its name, its engine as its category, and says of the
    record its number, layer, formats, shapes, macs, bytes and cycles. Times are rounded to
    nanoseconds.

    Raises ValueError for a record without a slot or with two, for a slot of no record, for times
    that are negative, not finite or end before they start, and for two slots of one engine that
    overlap.
    """
    _check(ledger, slots)
    tracks: dict[str, list[Slot]] = {}
    for slot in sorted(slots, key=lambda slot: (slot.start_s, slot.end_s, slot.record)):
        tracks.setdefault(slot.engine, []).append(slot)
    # a sequence of which nothing is lost begins so; and no trace is a file of no bytes
    found = [_packet(field(13, _STATE_CLEARED))]
    for uuid, engine in enumerate(sorted(tracks), 1):
        _check_apart(tracks[engine])
        found.append(_packet(field(60, field(1, uuid) + field(2, engine))))
        # Packets of the same time keep their order: a slice of no length ends before the next
        # begins.
        for slot in tracks[engine]:
            found += _slice(uuid, slot, ledger.records[slot.record])
    return b"".join(found)


def write_trace(path: Path, ledger: Ledger, slots: Sequence[Slot]) -> None:
    """Write the trace beside `path`, then rename it.

    Raises ValueError as `trace` does; FileNotWritten, and then the old file stands as it stood.
    """
    write_whole(path, trace(ledger, slots))


def _check(ledger: Ledger, slots: Sequence[Slot]) -> None:
    seen: set[int] = set()
    for slot in slots:
        if not 0 <= slot.record < len(ledger):
            raise ValueError(f"{slot}: the ledger has no such record; it has {len(ledger)}")
        if slot.record in seen:
            raise ValueError(f"{slot}: record {slot.record} has another slot; one each")
        if not 0 <= slot.start_s <= slot.end_s <= _MOST_S:
            raise ValueError(f"{slot}: needed are seconds, 0 <= start_s <= end_s <= {_MOST_S:g}")
        seen.add(slot.record)
    missing = next((one for one in range(len(ledger)) if one not in seen), None)
    if missing is not None:
        raise ValueError(f"record {missing} has no slot; {len(slots)} slots, {len(ledger)} records")


def _check_apart(slots: list[Slot]) -> None:
    for one, other in pairwise(slots):
        if other.start_s < one.end_s:
            raise ValueError(f"{one} and {other} overlap: an engine runs one record at a time")


def _slice(uuid: int, slot: Slot, record: Record) -> Iterator[bytes]:
    start, end = (round(_NANOSECONDS * time) for time in (slot.start_s, slot.end_s))
    begin = [
        *(field(9, _SLICE_BEGIN), field(11, uuid)),
        *(field(22, record.engine), field(23, record.instruction)),
        *(field(4, note) for note in _notes(slot.record, record)),
    ]
    yield _packet(field(8, start) + field(11, b"".join(begin)))
    yield _packet(field(8, end) + field(11, field(9, _SLICE_END) + field(11, uuid)))


def _notes(number: int, record: Record) -> Iterator[bytes]:
    """What a click on the slice shows, and `EXTRACT_ARG(arg_set_id, 'debug.macs')` gives."""
    shapes = [str(shape) for shape in record.shapes]
    texts = {
        "layer": record.layer,
        "formats": ", ".join(record.formats),
        "shapes": " ".join((*shapes[:-1], "->", *shapes[-1:])),
    }
    numbers = {
        "macs": record.macs, "bytes": record.bytes, "cycles": record.cycles, "record": number
    }  # fmt: skip
    for name, text in texts.items():
        yield field(10, name) + field(6, text)
    for name, value in numbers.items():
        yield field(10, name) + field(3, value)


def _packet(content: bytes) -> bytes:
    return field(1, content + field(10, _SEQUENCE))
