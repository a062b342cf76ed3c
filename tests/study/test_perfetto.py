"""A trace says of every record what the ledger says, to Perfetto's own messages and SQL too."""

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from halfulp.engines import Ledger
from halfulp.study.files import FileNotWritten
from halfulp.study.perfetto import trace, write_trace
from halfulp.study.protobuf import field, varint
from halfulp.study.timeline import Slot
from tests.study.ledgers import EVERY, ledger_of, ledgers
from tests.study.traces import LENGTHS, Slice, by_record, one_after_the_other, real, slices, wanted

#: Perfetto's shell, or tests/study/trace_processor.js, which says what it needs.
PROCESSOR = os.environ.get("HALFULP_TRACE_PROCESSOR") or shutil.which("trace_processor_shell")
NEEDS_PROCESSOR = pytest.mark.skipif(
    PROCESSOR is None,
    reason="no trace_processor_shell on the PATH, and HALFULP_TRACE_PROCESSOR names none",
)
KILLED = """
import os, signal, sys
from pathlib import Path
from halfulp.engines import Ledger
from halfulp.study.perfetto import write_trace

os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
write_trace(Path(sys.argv[1]), Ledger(), [])
"""


def test_varints_are_those_of_the_guide() -> None:
    assert varint(0) == b"\0" and varint(1) == b"\1" and varint(127) == b"\x7f"
    assert varint(128) == b"\x80\1" and varint(150) == b"\x96\1" and varint(300) == b"\xac\2"
    assert varint(2**64 - 1) == b"\xff" * 9 + b"\1"
    for outside in (-1, 2**64):
        with pytest.raises(ValueError, match=f"{outside} is no unsigned integer of 64 bits"):
            varint(outside)


def test_fields_are_those_of_the_guide() -> None:
    assert field(1, 150) == b"\x08\x96\1"
    assert field(2, "testing") == field(2, b"testing") == b"\x12\7testing"
    assert field(3, field(1, 150)) == b"\x1a\3\x08\x96\1"
    # from the sixteenth on the number itself takes two bytes
    assert field(16, 1) == b"\x80\1\1" and field(60, b"") == b"\xe2\3\0"
    assert field(1, "é" * 100)[:3] == b"\x0a\xc8\1"
    with pytest.raises(ValueError, match="surrogates"):
        field(1, "\ud800")


@given(st.integers(0, 2**64 - 1) | st.integers(0, 63).map(lambda shift: 1 << shift))
def test_any_integer_is_read_by_protobuf(value: int) -> None:
    event = TrackEvent.FromString(field(11, value))
    assert event.track_uuid == value and event.SerializeToString() == field(11, value)


@given(ledgers, st.data())
def test_any_ledger_is_told_whole(ledger: Ledger, data: st.DataObject) -> None:
    times = st.sampled_from(LENGTHS) | st.floats(0, 1e5)
    count = len(ledger)
    lengths = data.draw(st.lists(times, min_size=count, max_size=count))
    slots = one_after_the_other(ledger, lengths)
    shuffled = data.draw(st.permutations(slots))
    assert by_record(slices(trace(ledger, shuffled))) == wanted(ledger, slots)


def test_a_run_is_told_whole() -> None:
    ledger, slots = real()
    found = slices(trace(ledger, slots))
    assert by_record(found) == wanted(ledger, slots)
    assert {one.track for one in found} == {"tensor", "vector", "scalar", "gpsimd", "dma"}
    assert any(one.start_ns == one.end_ns for one in found)
    assert trace(ledger, slots[::-1]) == trace(ledger, slots)


def test_one_record_word_for_word() -> None:
    (one,) = slices(trace(ledger_of(EVERY), [Slot(0, "tensor", 2e-6, 3.5e-6)]))
    assert one == Slice(
        *("tensor", 2000, 3500, "nc_matmul", "tensor"),
        {
            "layer": "enc.0.query", "formats": "bf16, e4m3, fp32",
            "shapes": "(2, 3) (3, 4) -> ()", "macs": 24, "bytes": 68, "cycles": 64, "record": 0,
        },
    )  # fmt: skip


def test_the_first_packet_clears_the_state_and_is_there_without_records() -> None:
    for ledger, slots in ((Ledger(), []), real()):
        first = Trace.FromString(trace(ledger, slots)).packet[0]
        assert first.sequence_flags == first.SEQ_INCREMENTAL_STATE_CLEARED
    assert slices(trace(Ledger(), [])) == []


def test_a_queue_of_an_engine_may_have_a_track_of_its_own() -> None:
    ledger = ledger_of(EVERY, EVERY)
    slots = [Slot(0, "dma 0", 0, 1), Slot(1, "dma 1", 0, 1)]
    assert by_record(slices(trace(ledger, slots))) == wanted(ledger, slots)


FIRST = Slot(0, "tensor", 1.0, 2.0)


@pytest.mark.parametrize(
    "other",
    [
        *(Slot(1, "tensor", 2.0, 3.0), Slot(1, "tensor", 0.0, 1.0), Slot(1, "vector", 1.5, 1.7)),
        *(Slot(1, "tensor", 1.0, 1.0), Slot(1, "tensor", 2.0, 2.0), Slot(1, "tensor", 0.0, 0.0)),
    ],
)
def test_slots_may_touch(other: Slot) -> None:
    ledger, slots = ledger_of(EVERY, EVERY), [FIRST, other]
    for given_slots in (slots, slots[::-1]):
        assert by_record(slices(trace(ledger, given_slots))) == wanted(ledger, slots)


@pytest.mark.parametrize(
    "other",
    [
        *(Slot(1, "tensor", 1.0, 2.0), Slot(1, "tensor", 1.5, 1.5), Slot(1, "tensor", 0.0, 9.0)),
        *(Slot(1, "tensor", 2 - 2**-52, 3.0), Slot(1, "tensor", 0.5, 1 + 2**-52)),
    ],
)
def test_slots_of_one_engine_that_overlap_are_refused(other: Slot) -> None:
    for slots in ([FIRST, other], [other, FIRST]):
        with pytest.raises(ValueError, match="overlap: an engine runs one record at a time") as no:
            trace(ledger_of(EVERY, EVERY), slots)
        assert str(FIRST) in str(no.value) and str(other) in str(no.value)


def test_a_slot_within_another_is_seen_behind_a_third() -> None:
    slots = [Slot(0, "tensor", 0, 9), Slot(1, "vector", 1, 2), Slot(2, "tensor", 3, 4)]
    with pytest.raises(ValueError, match="overlap"):
        trace(ledger_of(EVERY, EVERY, EVERY), slots)


@pytest.mark.parametrize(
    ("slots", "wanted"),
    [
        ([FIRST], "record 1 has no slot; 1 slots, 2 records"),
        ([], "record 0 has no slot; 0 slots, 2 records"),
        ([FIRST, FIRST], "record 0 has another slot"),
        ([FIRST, Slot(2, "tensor", 2, 3)], "no such record; it has 2"),
        ([FIRST, Slot(-1, "tensor", 2, 3)], "no such record; it has 2"),
        ([FIRST, Slot(1, "tensor", 4, 3)], "needed are seconds, 0 <= start_s <= end_s"),
        ([FIRST, Slot(1, "tensor", -1, 0)], "needed are seconds"),
        ([FIRST, Slot(1, "tensor", 3, float("inf"))], "needed are seconds"),
        ([FIRST, Slot(1, "tensor", float("nan"), 3)], "needed are seconds"),
        ([FIRST, Slot(1, "tensor", 3, float("nan"))], "needed are seconds"),
    ],
)
def test_slots_that_are_none_of_the_ledger_are_refused(
    slots: list[Slot], wanted: str, tmp_path: Path
) -> None:
    ledger, path = ledger_of(EVERY, EVERY), tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=wanted):
        write_trace(path, ledger, slots)
    assert path.read_bytes() == b"old"


def test_a_trace_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "trace.pftrace"
    ledger, slots = real()
    write_trace(path, ledger, slots)
    old = path.read_bytes()
    assert old == trace(ledger, slots)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.read_bytes() == old
    with pytest.raises(FileNotWritten, match="deep"):
        write_trace(path.parent, ledger, slots)


def asked(folder: Path, data: bytes, sql: str) -> Iterator[dict[str, str]]:
    """What trace_processor answers, by row."""
    assert PROCESSOR is not None
    files = folder / "query.sql", folder / "trace.pftrace"
    for file, content in zip(files, (sql.encode(), data), strict=True):
        file.write_bytes(content)
    command = [PROCESSOR, "-q", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    yield from csv.DictReader(io.StringIO(done.stdout))


@NEEDS_PROCESSOR
def test_trace_processor_counts_as_many_slices_as_records(tmp_path: Path) -> None:
    ledger, slots = real()
    for given_ledger, given_slots in ((ledger, slots), (Ledger(), [])):
        data = trace(given_ledger, given_slots)
        (count,) = asked(tmp_path, data, "SELECT count(*) AS slices FROM slice")
        assert count == {"slices": str(len(given_ledger))}
        bad = "SELECT name FROM stats WHERE severity IN ('error', 'data_loss') AND value > 0"
        assert list(asked(tmp_path, data, bad)) == []


@NEEDS_PROCESSOR
def test_trace_processor_tells_every_slice(tmp_path: Path) -> None:
    ledger, slots = real()
    ledger.records.append(EVERY._replace(layer="é, 'a'", instruction='"☃"\n'))
    slots.append(Slot(len(slots), "tensor", 1e6, 1e6 + 1))
    # hex, for the shell does not double the quotes of its CSV
    texts = ("layer", "formats", "shapes")
    numbers = ("macs", "bytes", "cycles", "record")
    notes = [f"hex(extract_arg(arg_set_id, 'debug.{name}')) AS {name}" for name in texts]
    notes += [f"extract_arg(arg_set_id, 'debug.{name}') AS {name}" for name in numbers]
    sql = f"""
        SELECT track.name AS track, ts, ts + dur AS end_ts, hex(slice.name) AS name,
        category, depth, {", ".join(notes)} FROM slice JOIN track ON slice.track_id = track.id
    """
    found = []
    for row in asked(tmp_path, trace(ledger, slots), sql):
        assert row["depth"] == "0"
        told: dict[str, str | int] = {name: int(row[name]) for name in numbers}
        told |= {name: bytes.fromhex(row[name]).decode() for name in texts}
        name = bytes.fromhex(row["name"]).decode()
        times = int(row["ts"]), int(row["end_ts"])
        found.append(Slice(row["track"], *times, name, row["category"], told))
    assert by_record(found) == wanted(ledger, slots)
