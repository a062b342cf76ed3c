"""What a trace for Perfetto must hold, and what Perfetto's own messages read out of one."""

from typing import Any, NamedTuple

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from halfulp.engines import Ledger, Record
from halfulp.study.timeline import Slot
from tests.study.ledgers import real_ledger


class Slice(NamedTuple):
    """What a viewer shows."""

    track: str
    start_ns: int
    end_ns: int
    name: str
    category: str
    notes: dict[str, str | int]


def slices(data: bytes) -> list[Slice]:
    """The slices of a trace by Perfetto's own messages; a begin and its end, innermost first."""
    tracks: dict[int, str] = {}
    open_ones: dict[int, list[tuple[int, Any]]] = {}
    found = []
    for packet in Trace.FromString(data).packet:
        assert packet.trusted_packet_sequence_id == 1
        if packet.HasField("track_descriptor"):
            assert packet.track_descriptor.uuid not in tracks
            tracks[packet.track_descriptor.uuid] = packet.track_descriptor.name
        if not packet.HasField("track_event"):
            continue
        event = packet.track_event
        stack = open_ones.setdefault(event.track_uuid, [])
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            stack.append((packet.timestamp, event))
            continue
        assert event.type == TrackEvent.TYPE_SLICE_END
        start, begin = stack.pop()
        (category,) = begin.categories
        track = tracks[event.track_uuid]
        notes = dict(map(note, begin.debug_annotations))
        found.append(Slice(track, start, packet.timestamp, begin.name, category, notes))
    assert not any(open_ones.values())
    return found


def note(annotation: Any) -> tuple[str, str | int]:
    kind = annotation.WhichOneof("value")
    assert kind in ("string_value", "uint_value")
    return annotation.name, getattr(annotation, kind)


def wanted(ledger: Ledger, slots: list[Slot]) -> list[Slice]:
    return [
        Slice(
            *(slot.engine, round(1e9 * slot.start_s), round(1e9 * slot.end_s)),
            *(record.instruction, record.engine, notes_of(slot.record, record)),
        )
        for slot in slots
        for record in (ledger.records[slot.record],)
    ]


def notes_of(number: int, record: Record) -> dict[str, str | int]:
    operands = "".join(f"{shape} " for shape in record.shapes[:-1])
    result = "".join(f" {shape}" for shape in record.shapes[-1:])
    return {
        **{"record": number, "layer": record.layer, "formats": ", ".join(record.formats)},
        "shapes": f"{operands}->{result}",
        **{"macs": record.macs, "bytes": record.bytes, "cycles": record.cycles},
    }


def by_record(found: list[Slice]) -> list[Slice]:
    return sorted(found, key=lambda one: one.notes["record"])


def one_after_the_other(ledger: Ledger, lengths: list[float]) -> list[Slot]:
    """Each engine runs its records in their order, without a pause."""
    ends: dict[str, float] = {}
    slots = []
    for number, (record, length) in enumerate(zip(ledger.records, lengths, strict=True)):
        start = ends.get(record.engine, 0.0)
        ends[record.engine] = start + length
        slots.append(Slot(number, record.engine, start, start + length))
    return slots


#: Of no time, of less than a nanosecond, of one that float64 does not hold.
LENGTHS = (0.0, 1e-10, 1e-9, 1.5e-9, 0.1, 1 / 3, 1e4)


def real() -> tuple[Ledger, list[Slot]]:
    ledger = real_ledger()
    ledger.records *= 3
    count = len(ledger)
    return ledger, one_after_the_other(ledger, [LENGTHS[i % len(LENGTHS)] for i in range(count)])
