"""Whatever is in a file: an error in words or counted bad rows, never another error, never a wrong number."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import math
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import resilab as rl
from resilab.traces.columns import BadValue, duration_reader, time_reader

FAST = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def read(content: bytes, **options: object) -> rl.Trace | rl.TraceError:
    """Read the content as a file; any error but `TraceError` ends the test."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "log"
        path.write_bytes(content)
        try:
            return rl.read_trace(path, **options)  # type: ignore[arg-type]
        except rl.TraceError as error:
            return error


def check(trace: rl.Trace | rl.TraceError) -> None:
    """State what holds of every trace."""
    if isinstance(trace, rl.TraceError):
        assert len(str(trace)) < 2000
        return
    assert len(trace) > 0
    assert trace.start[0] == 0
    assert (np.diff(trace.start) >= 0).all()
    assert np.isfinite(trace.start).all()
    assert ((trace.known >= 0) & (trace.known <= 1e9)).all()
    used = [*trace.line, *(row.line for row in trace.bad_rows)]
    assert len(set(used)) == len(used)
    assert not len(trace.known) or trace.latency("all").mean >= 0
    assert trace.workload().times[0] >= 0


@FAST
@given(st.binary(max_size=400))
def test_any_bytes(content):
    check(read(content))


@FAST
@given(st.binary(max_size=300), st.sampled_from(["utf-8", "latin-1", "utf-16", "ascii", "utf-7", "cp932"]))
def test_any_bytes_behind_a_good_row(content, encoding):
    check(read(b"start,duration_s,status\n0,1,200\n" + content, encoding=encoding))


@pytest.mark.slow
@FAST
@given(st.text(max_size=300), st.sampled_from([",", ";", "\t", None]))
@example('"', None)
@example("a,a", None)
@example('start,duration_s,status\n"0",1,200\n"', None)
def test_any_text(text, delimiter):
    check(read(text.encode("utf-8", "surrogatepass"), delimiter=delimiter))


@FAST
@given(st.binary(max_size=200), st.integers(0, 400))
def test_a_gzip_cut_or_changed_anywhere(noise, place):
    lines = "".join(f"{i},0.{i},200\n" for i in range(100))
    data = gzip.compress(f"start,duration_s,status\n{lines}".encode(), mtime=0)
    check(read(data[:place] + noise))
    check(read(data[:place] + noise + data[place + len(noise) :]))


words = st.sampled_from(
    [
        "",
        " ",
        "-",
        "nan",
        "inf",
        "-1",
        "0",
        "1",
        "1e5",
        "1e999",
        "-0",
        "12ms",
        "3 s",
        "1,5",
        "200",
        "503",
        "1795358320",
        "1795358320000",
        "2026-11-22T14:38:40Z",
        "2026-11-22T14:38:40",
        "10/Oct/2000:13:55:36 -0700",
        '"',
        "\0",
        "é",
        "9" * 99,
        "2026-02-30T00:00:00Z",
        "x" * 200,
        "١٢",
        "1_0",
        "0x1",
        "1.",
        ".5",
        ".",
        "+",
        "e5",
        "1e-400",
        "true",
        "2026-11-22",
    ]
)
headers = st.sampled_from(
    [
        "start",
        "timestamp",
        "end",
        "time_ms",
        "duration_ms",
        "latency",
        "elapsed_seconds",
        "status",
        "code",
        "path",
        "",
        "é",
    ]
)


@FAST
@given(
    st.lists(headers, max_size=6), st.lists(st.lists(words, max_size=6), max_size=12), st.sampled_from(["start", "end"])
)
def test_any_columns_of_odd_values(header, table, timestamp):
    text = io.StringIO()
    csv.writer(text).writerows([header, *table])
    check(read(text.getvalue().encode(), timestamp=timestamp, duration_unit="ms"))


@pytest.mark.slow
@FAST
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**5), st.sampled_from([200, 404, 503])), min_size=1),
    st.data(),
)
def test_bad_rows_among_good_ones_change_no_number(good, data):
    """The good rows give the same trace, whatever bad rows stand between them."""
    clean = [f"{start},{duration},{status}" for start, duration, status in good]
    bad_rows = st.sampled_from(
        ["x,1,200", "1,-2,200", "1,inf,200", "1,1", "1,1,200,1", "1,1,maybe", "1,1,\udcff", '"1,1,200']
    )
    mixed: list[str] = []
    wrong = []
    for row in clean:
        for bad in data.draw(st.lists(bad_rows, max_size=2)):
            mixed.append(bad)
            wrong.append(len(mixed) + 1)
        mixed.append(row)
    header = "start_ms,duration_ms,status"
    expected = read("\n".join([header, *clean]).encode())
    trace = read("\n".join([header, *mixed]).encode("utf-8", "surrogateescape"))
    assert isinstance(expected, rl.Trace)
    assert isinstance(trace, rl.Trace)
    assert [row.line for row in trace.bad_rows] == wrong
    assert trace == expected.replace(line=trace.line, bad_rows=trace.bad_rows)


UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@FAST
@given(
    st.floats(0, 1e8),
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(["{!r}", "{:.9f}", "{:.3e}", "{!r}{}", "{:.6f} {}"]),
)
def test_durations_are_what_python_reads(value, unit, pattern):
    text = pattern.format(value, unit)
    number = float(text.removesuffix(unit))
    if "e" in text and text.endswith("s"):
        with pytest.raises(BadValue):
            duration_reader(unit)(text)
    else:
        seconds = duration_reader(unit)(text) / 1e9
        assert math.isclose(seconds, number * UNITS[unit], rel_tol=1e-12, abs_tol=0.51e-9)


@FAST
@given(
    st.datetimes(min_value=datetime.datetime(1970, 1, 2), max_value=datetime.datetime(2200, 1, 1)),
    st.integers(-14 * 60 + 1, 14 * 60),
)
def test_times_are_what_python_reads(moment, minutes):
    zoned = moment.replace(tzinfo=datetime.timezone(datetime.timedelta(minutes=minutes)))
    since = zoned - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    nanoseconds = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    read_time = time_reader(None)
    texts = [zoned.isoformat(), zoned.isoformat(" "), zoned.isoformat(timespec="microseconds")]
    texts += [zoned.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")]
    if nanoseconds >= 10**8 * 10**9:
        texts += [str(nanoseconds), f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"]
    for text in texts:
        assert read_time(text)[0] == nanoseconds


def test_quotes_that_are_never_closed_do_not_take_long():
    """Each line opens a quote: the work stays in proportion to the size."""
    lines = "".join(f'"{i},1,200\n' for i in range(5000))
    trace = read(f"start,duration_s,status\n0,1,200\n{lines}".encode())
    assert isinstance(trace, rl.Trace)
    assert len(trace.bad_rows) == 5000


@pytest.mark.slow
@pytest.mark.parametrize("size", [1_000_000, 20_000_000])
def test_one_endless_line_is_refused(size):
    for character in (b"a", b",", b'"', b"9", b"\0", b"\xff"):
        error = read(character * size)
        assert isinstance(error, rl.TraceError)


def test_a_file_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr("resilab.traces.text.MAX_BYTES", 10_000_000)
    with pytest.raises(rl.TraceError, match="more than 10000000 bytes"):
        rl.read_trace("/dev/zero")
    packed = gzip.compress(b"a" * 20_000_000)
    assert "more than 10000000 bytes" in str(read(packed))


LOGS = sorted((Path(__file__).resolve().parents[1] / "data" / "logs").iterdir())
BY_LINE = {".log", ".jsonl", ".csv", ".jtl"}


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
@given(st.data())
def test_a_usual_log_with_damage_anywhere(path, data):
    """Bytes cut out, put in, or repeated: an error in words, or a trace with every line accounted for."""
    content = path.read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        size = data.draw(st.sampled_from([0, 1, 3, 40, 400]))
        noise = data.draw(
            st.one_of(st.binary(max_size=6), st.sampled_from([b'"', b"\n", b"{", b"[", b"NaN", b"1e999"]))
        )
        content = content[:place] + noise * data.draw(st.sampled_from([1, 1, 200])) + content[place + size :]
    found = read(content)
    check(found) if isinstance(found, rl.TraceError) or path.suffix in BY_LINE else None
    if isinstance(found, rl.Trace) and path.suffix == ".log":
        lines = [line for line in content.decode(errors="replace").replace("\r", "\n").split("\n") if line.strip()]
        assert len(found) + len(found.bad_rows) == len(lines)
