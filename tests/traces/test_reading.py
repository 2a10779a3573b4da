"""Reading access logs: every usual form gives the same numbers, and nothing is guessed."""

from __future__ import annotations

import copy
import gzip
import math
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

import resilab as rl
from resilab.traces.columns import BadValue, split_unit, time_reader

DATA = Path(__file__).resolve().parents[2] / "notebooks" / "data"


@pytest.fixture
def log(tmp_path):
    """Write text or bytes to a file and return its path."""

    def write(content: str | bytes, name: str = "access.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def rows(header: str, *lines: str) -> str:
    return "\n".join([header, *lines]) + "\n"


def quietly(path, **options):
    """Read a log whose bad rows are expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rl.read_trace(path, **options)


# Times


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2026-11-22T14:38:40Z", "2026-11-22T14:38:42.5Z"),
        ("2026-11-22T14:38:40", "2026-11-22T14:38:42.500"),
        ("2026-11-22 14:38:40.000000", "2026-11-22 14:38:42.500000"),
        ("2026-11-22T14:38:40+00:00", "2026-11-22T15:38:42.500000000+01:00"),
        ("2026-11-22T14:38:40 UTC", "2026-11-22 09:08:42.5 -0530"),
        ("2026/11/22 14:38:40", "2026/11/22 14:38:42.5"),
        ("20261122T143840Z", "20261122T143842.5Z"),
        ("1795358320", "1795358322.5"),
        ("1795358320000", "1795358322500"),
        ("1795358320000000", "1795358322500000"),
        ("1795358320000000000", "1795358322500000000"),
        ("7", "9.5"),
        ("7.0", "9.5e0"),
    ],
)
def test_start_is_read_in_every_usual_form(log, first, second):
    trace = rl.read_trace(log(rows("timestamp,duration_ms,status", f"{first},1,200", f"{second},1,200")))
    assert trace.start.tolist() == [0.0, 2.5]


def test_common_log_format_is_read_with_its_zone(log):
    lines = ("10/Oct/2000:13:55:36 -0700,1,200", "[10/Oct/2000:21:55:38 +0100],1,200")
    assert rl.read_trace(log(rows("time,latency_ms,status", *lines))).start.tolist() == [0.0, 2.0]


def test_microseconds_since_1970_stay_exact(log):
    lines = [f"17953583200000{i:02d},1,200" for i in range(20)]
    trace = rl.read_trace(log(rows("ts,duration_ms,status", *lines)))
    assert trace.start.tolist() == [i / 1e6 for i in range(20)]
    assert trace.tick == 1e-6


def test_unit_of_numbers_comes_from_the_name_or_the_argument(log):
    text = rows("start_ms,duration_ms,status", "0,1,200", "250,1,200")
    assert rl.read_trace(log(text)).start[1] == 0.25
    text = rows("start,duration_ms,status", "0,1,200", "250,1,200")
    assert rl.read_trace(log(text), time_unit="us").start[1] == 250e-6


def test_end_minus_duration_is_the_start_when_told_so(log):
    text = rows("time,duration_s,status", "10.0,4.0,200", "9.0,1.0,200")
    trace = rl.read_trace(log(text), timestamp="end")
    assert trace.start.tolist() == [0.0, 2.0]
    assert trace.duration.tolist() == [4.0, 1.0]
    assert trace.line.tolist() == [2, 3]


@pytest.mark.parametrize(("name", "given", "other"), [("end_time", "start", "end"), ("started_at", "end", "start")])
def test_a_column_that_says_otherwise_is_refused(log, name, given, other):
    path = log(rows(f"{name},duration_s,status", "10.0,4.0,200"))
    with pytest.raises(rl.TraceError, match=f"timestamp='{other}'"):
        rl.read_trace(path, timestamp=given)
    assert len(rl.read_trace(path, timestamp=other)) == 1


def test_rows_are_sorted_by_start_and_keep_their_lines(log):
    trace = rl.read_trace(log(rows("start,duration_s,status", "5,1,200", "3,2,503", "4,3,200")))
    assert trace.start.tolist() == [0.0, 1.0, 2.0]
    assert trace.duration.tolist() == [2.0, 3.0, 1.0]
    assert trace.failed.tolist() == [True, False, False]
    assert trace.line.tolist() == [3, 4, 2]


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-01-01",
        "2026-01-01T12:30Z",
        "1/2/2026 12:00:00",
        "1e300",
        "-5",
        "nan",
        "2026-01-01T00:00:00+25:00",
        "1950-01-01T00:00:00Z",
        "2500-01-01T00:00:00Z",
        "1" * 30,
        "1e999999999",
        "",
    ],
)
def test_a_time_that_is_none_is_a_bad_row(log, value):
    trace = quietly(log(rows("start,duration_s,status", "2026-01-01T00:00:00Z,1,200", f'"{value}",1,200')))
    assert [row.line for row in trace.bad_rows] == [3]
    assert trace.bad_rows[0].reason.startswith("start ")


def test_a_time_without_a_zone_among_times_with_one_is_a_bad_row(log):
    lines = ["2026-01-01T00:00:00Z,1,200", "2026-01-01T00:00:01,1,200", "2026-01-01T00:00:02+00:00,1,200"]
    trace = quietly(log(rows("start,duration_s,status", *lines)))
    assert trace.start.tolist() == [0.0, 2.0]
    assert trace.bad_rows[0].line == 3
    assert "without a time zone" in trace.bad_rows[0].reason


def test_half_with_and_half_without_a_zone_is_refused(log):
    text = rows("start,duration_s,status", "2026-01-01T00:00:00Z,1,200", "2026-01-01T00:00:01,1,200")
    with pytest.raises(rl.TraceError, match="cannot be compared"):
        rl.read_trace(log(text))


@pytest.mark.parametrize(
    ("number", "form", "nanoseconds"),
    [
        ("99999999", "plain seconds", 99_999_999 * 10**9),
        ("100000000", "s since 1970", 10**17),
        ("99999999999", "", 0),
        ("100000000000", "ms since 1970", 10**17),
        ("1000000000000", "ms since 1970", 10**18),
        ("100000000000000", "us since 1970", 10**17),
        ("100000000000000000", "ns since 1970", 10**17),
        ("1e18", "ns since 1970", 10**18),
    ],
)
def test_the_size_of_a_number_tells_its_unit(number, form, nanoseconds):
    if form:
        assert time_reader(None)(number) == (nanoseconds, form)
    else:
        with pytest.raises(BadValue, match="between 1970 and 2223"):
            time_reader(None)(number)


def test_seconds_among_milliseconds_are_bad_rows(log):
    lines = ["1795358320000,1,200", "1795358321000,1,200", "1795358322,1,200"]
    trace = quietly(log(rows("ts,duration_ms,status", *lines)))
    assert trace.start.tolist() == [0.0, 1.0]
    assert trace.bad_rows[0].line == 4


# Durations


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("duration_ms", "12", 0.012),
        ("latency_us", "1500", 0.0015),
        ("elapsed_seconds", "1.25", 1.25),
        ("response time (ms)", "25.703", 0.025703),
        ("responseTimeMs", "3", 0.003),
        ("durationNanos", "1000", 1e-6),
        ("time_taken_in_ms", "2e3", 2.0),
        ("latency", "12ms", 0.012),
        ("latency", "1.5 s", 1.5),
        ("latency", "250µs", 250e-6),
        ("latency", "250μs", 250e-6),
        ("latency", "1m30s", 90.0),
        ("latency", "1h0m0.5s", 3600.5),
        ("latency", "+7ns", 7e-9),
        ("duration_ms", "3s", 3.0),
        ("duration_ms", "0", 0.0),
    ],
)
def test_duration_is_read_with_its_unit(log, name, value, seconds):
    trace = rl.read_trace(log(rows(f"start,{name},status", f"0,{value},200")))
    assert trace.duration.tolist() == [seconds]


def test_a_unit_that_nobody_says_is_asked_for(log):
    path = log(rows("start,latency,status", "0,12,200"))
    with pytest.raises(rl.TraceError, match=r"unit of column 'latency' is unknown.*duration_unit='ms'.*'latency_ms'"):
        rl.read_trace(path)
    assert rl.read_trace(path, duration_unit="us").duration[0] == 12e-6


def test_a_value_without_unit_among_values_with_one_is_a_bad_row(log):
    trace = quietly(log(rows("start,latency,status", "0,12ms,200", "1,12,200")))
    assert trace.bad_rows == ((3, "duration has no unit: '12'", "1,12,200"),)


@pytest.mark.parametrize(
    "value",
    [
        "-2",
        "-1ms",
        "inf",
        "-inf",
        "abc",
        "1_000",
        "0x10",
        "1 2",
        "12 parsecs",
        "1,5",
        "9" * 40,
        "1e400",
        "1ms2",
        "ms",
        "\u0661",
        "½",
        "9" * 5000,
        "1e10",
        "--1",
        "1.2.3",
    ],
)
def test_a_duration_that_is_none_is_a_bad_row(log, value):
    trace = quietly(log(rows("start,duration_s,status", "0,1,200", f'1,"{value}",200', "2,1,200")))
    assert trace.start.tolist() == [0.0, 2.0]
    assert [row.line for row in trace.bad_rows] == [3]
    assert trace.bad_rows[0].reason.startswith("duration ")
    assert len(trace.bad_rows[0].reason) < 100


@pytest.mark.parametrize("value", ["", "-", "-1", "nan", "NaN", "null"])
def test_a_row_without_a_duration_is_still_a_request_with_its_outcome(log, value):
    trace = rl.read_trace(log(rows("start,duration_s,status", "0,1,200", f'1,"{value}",503', "2,1,200")))
    assert trace.start.tolist() == [0.0, 1.0, 2.0]
    assert np.isnan(trace.duration).tolist() == [False, True, False]
    assert trace.failure_rate == pytest.approx(1 / 3)
    assert trace.latency("all").values == (1.0, 1.0)
    assert "3 requests (1 without a duration)" in trace.understood


def test_decimal_comma_is_read_when_told_so(log):
    path = log(rows("start;duration_ms;status", "0;12,5;200", "0,5;1;200"))
    trace = rl.read_trace(path, decimal=",")
    assert trace.duration.tolist() == [0.0125, 0.001]
    assert trace.start.tolist() == [0.0, 0.5]
    assert split_unit("durationMS") == ("duration", "ms")


@pytest.mark.parametrize("row", ["0,5;1;200", "0;12,5;200"])
def test_a_number_with_a_decimal_comma_says_how_to_read_it(log, row):
    path = log(f"start;duration_s;status\n{row}\n")
    with pytest.raises(rl.TraceError, match=r"line 2: .*not a number: '\d+,5' \(a decimal comma needs decimal=','\)"):
        rl.read_trace(path)
    assert len(rl.read_trace(path, decimal=",")) == 1


# Status


def test_status_from_500_and_those_of_limits_count_as_failed(log):
    codes = (200, 301, 400, 404, 408, 429, 499, 500, 503, 504, 0)
    trace = rl.read_trace(log(rows("start,duration_s,status", *(f"{i},1,{code}" for i, code in enumerate(codes)))))
    assert trace.status.tolist() == list(codes)
    assert trace.failed.tolist() == [False] * 4 + [True] * 7
    assert trace.status[trace.timed_out].tolist() == [408, 499, 504]


def test_words_are_outcomes(log):
    words = ("timeout", "reset", "OK", "deadline exceeded", "500")
    trace = rl.read_trace(log(rows("start,duration_s,status", *(f"{i},1,{word}" for i, word in enumerate(words)))))
    assert trace.failed.tolist() == [True, True, False, True, True]
    assert trace.timed_out.tolist() == [True, False, False, True, False]
    lines = ("0,1,,timeout", "1,1,200,success", "2,1,503,", "3,1,,who knows")
    trace = quietly(log(rows("start,duration_s,status,outcome", *lines)))
    assert trace.failed.tolist() == [True, False, True]
    assert [row.line for row in trace.bad_rows] == [5]


def test_other_codes_count_as_failed_when_told_so(log):
    path = log(rows("start,duration_s,status", "0,1,429", "1,1,503", "2,1,200.0"))
    assert rl.read_trace(path, failure={429}).failed.tolist() == [True, False, False]
    assert rl.read_trace(path, failure=range(400, 600)).failure_rate == pytest.approx(2 / 3)


@pytest.mark.parametrize("value", ["", "-", "maybe", "nan", "-200", "2000", "200.5", "2e2"])
def test_a_status_that_is_none_is_a_bad_row(log, value):
    trace = quietly(log(rows("start,duration_s,status", "0,1,200", f"1,1,{value}")))
    assert [row.line for row in trace.bad_rows] == [3]


def test_a_log_without_status_is_read_when_told_so(log):
    path = log(rows("start,duration_s", "0,1", "1,1"))
    with pytest.raises(rl.TraceError, match=r"no column is known as the status.*columns={'status': None}"):
        rl.read_trace(path)
    trace = rl.read_trace(path, columns={"status": None})
    assert trace.status is None
    assert trace.failed is None
    assert math.isnan(trace.failure_rate)
    assert repr(trace) == "Trace(2 requests in 1 s, failures unknown)"
    assert trace.latency().values == (1.0, 1.0)


# Files, headers and rows


def test_gzip_is_known_by_its_content(log):
    text = rows("start,duration_s,status", "0,1,200")
    plain = rl.read_trace(log(text, "a.gz"))
    packed = rl.read_trace(log(gzip.compress(text.encode()), "b.csv"))
    assert plain == packed
    assert len(plain) == 1


def test_a_truncated_gzip_is_refused(log):
    lines = [f"{i},{i % 7 + 1},200" for i in range(2000)]
    data = gzip.compress(rows("start,duration_s,status", *lines).encode())
    for size in (5, len(data) // 2, len(data) - 4):
        with pytest.raises(rl.TraceError, match="truncated"):
            rl.read_trace(log(data[:size]))


def test_a_damaged_gzip_is_refused(log):
    data = bytearray(gzip.compress(rows("start,duration_s,status", *(f"{i},1,200" for i in range(500))).encode()))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(rl.TraceError, match=r"damaged|truncated"):
        rl.read_trace(log(bytes(data)))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_told_from_the_header(log, delimiter):
    text = rows("start,duration_s,status,note", "0,1,200,x").replace(",", delimiter)
    assert len(rl.read_trace(log(text))) == 1


def test_another_delimiter_can_be_named(log):
    assert len(rl.read_trace(log("start|duration_s|status\n0|1|200\n"), delimiter="|")) == 1
    with pytest.raises(rl.TraceError, match="delimiter must be one character"):
        rl.read_trace(log("x"), delimiter="ab")


@pytest.mark.parametrize("delimiter", ["|", " "])
def test_a_header_of_one_name_is_asked_for_its_delimiter(log, delimiter):
    text = rows("start,duration_s,status", "0,1,200")
    with pytest.raises(rl.TraceError, match="needs delimiter="):
        rl.read_trace(log(text.replace(",", delimiter)))
    with pytest.raises(rl.TraceError) as caught:
        rl.read_trace(log(text.replace("start", "when")))
    assert "delimiter" not in str(caught.value)


def test_header_names_can_be_mapped(log):
    path = log(rows("when,took_us,rc", "0,1500,200"))
    trace = rl.read_trace(path, columns={"timestamp": "when", "duration": "took_us", "status": "rc"})
    assert trace.duration.tolist() == [0.0015]
    with pytest.raises(rl.TraceError, match=r"no column is known as the start.*'when', 'took_us', 'rc'"):
        rl.read_trace(path)
    with pytest.raises(rl.TraceError, match="'then' for start must be in the header"):
        rl.read_trace(path, columns={"start": "then"})
    with pytest.raises(rl.TraceError, match="columns must map"):
        rl.read_trace(path, columns={"begin": "when"})


def test_a_file_without_a_header_is_read_with_names(log):
    path = log("0,1500,200\n2,1500,503\n")
    trace = rl.read_trace(path, header=["start", "duration_us", "status"])
    assert trace.start.tolist() == [0.0, 2.0]
    assert trace.line.tolist() == [1, 2]
    with pytest.raises(rl.TraceError, match="header="):
        rl.read_trace(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("start,duration_s,status,status", "once, got 'status' twice"),
        ("start,duration_s,status,note,note", "once, got 'note' twice"),
        ("start,duration_s,latency_ms,status,x", "several columns may be the duration: 'duration_s', 'latency_ms'"),
        ("timestamp,time,duration_s,status,x", "several columns may be the start"),
    ],
)
def test_a_header_with_two_meanings_is_refused(log, header, message):
    with pytest.raises(rl.TraceError, match=message):
        rl.read_trace(log(rows(header, "0,1,200,1,1")))


@pytest.mark.parametrize("content", ["", "\n\n", "start,duration_s,status\n", "start,duration_s,status\nx,y,z\n"])
def test_a_trace_with_no_good_rows_is_refused(log, content):
    with pytest.raises(rl.TraceError, match=r"no rows|no good rows"):
        rl.read_trace(log(content))


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        rl.read_trace(tmp_path / "nowhere.csv")


def test_line_numbers_stay_exact_behind_quoted_new_lines(log):
    text = 'start,duration_s,status,agent\r\n0,1,200,"two\r\nlines, ""quoted"""\r\n1,-2,200,x\r\n\r\n2,1,200,y'
    trace = quietly(log(text))
    assert trace.line.tolist() == [2, 6]
    assert [row.line for row in trace.bad_rows] == [4]


def test_a_quote_that_is_never_closed_costs_one_row(log):
    lines = [f"{i},1,200,x" for i in range(10)]
    lines[3] = '3,1,200,"x'
    lines[7] = '7,1,200,"y"'
    trace = quietly(log(rows("start,duration_s,status,agent", *lines)))
    assert [row.line for row in trace.bad_rows] == [5]
    assert trace.start.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    lines[7] = 'y",7,1,200,x'
    trace = quietly(log(rows("start,duration_s,status,agent", *lines)))
    assert [row.line for row in trace.bad_rows] == [5, 9]


def test_a_row_of_another_length_is_a_bad_row(log):
    trace = quietly(log(rows("start,duration_s,status", "0,1,200", "1,1", "2,1,200,9", "3,1,200")))
    assert [(row.line, row.reason) for row in trace.bad_rows] == [
        (3, "it has 2 fields, the header has 3"),
        (4, "it has 4 fields, the header has 3"),
    ]


def test_a_million_characters_in_a_line_are_one_bad_row(log):
    lines = ["0,1,200", "1," + "9" * 1_000_000 + ",200", '2,1,"' + "x" * 1_000_000 + '"', "3,1,200"]
    trace = quietly(log(rows("start,duration_s,status", *lines)))
    assert [row.line for row in trace.bad_rows] == [3, 4]
    assert all(len(row.text) <= 80 and len(row.reason) < 120 for row in trace.bad_rows)
    assert trace.start.tolist() == [0.0, 3.0]


def test_bytes_of_another_encoding_are_a_bad_row_until_it_is_named(log):
    data = "start,duration_s,status,city\n0,1,200,Bern\n1,1,200,Zürich\n".encode("latin-1")
    trace = quietly(log(data))
    assert [row.line for row in trace.bad_rows] == [3]
    assert "encoding='latin-1'" in trace.bad_rows[0].reason
    assert len(rl.read_trace(log(data), encoding="latin-1")) == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_names_the_encoding(log, encoding):
    assert len(rl.read_trace(log(rows("start,duration_s,status", "0,1,200").encode(encoding)))) == 1


def test_utf_16_without_a_mark_is_refused_until_it_is_named(log):
    data = rows("start,duration_s,status", "0,1,200").encode("utf-16-le")
    with pytest.raises(rl.TraceError, match="encoding='utf-16'"):
        rl.read_trace(log(data))
    assert len(rl.read_trace(log(data), encoding="utf-16-le")) == 1
    with pytest.raises(rl.TraceError, match="encoding must be one that Python knows"):
        rl.read_trace(log(data), encoding="utf-88")


def test_bad_rows_are_reported_in_a_warning_and_refused_when_strict(log):
    path = log(rows("start,duration_s,status", "0,1,200", "1,x,200"))
    with pytest.warns(UserWarning, match=r"1 of 2 rows .* are bad: line 3: duration is not a number: 'x'"):
        assert "1 bad rows" in repr(rl.read_trace(path))
    with pytest.raises(rl.TraceError, match="1 of 2 rows"):
        rl.read_trace(path, strict=True)


def test_good_rows_give_no_warning(log):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rl.read_trace(log(rows("start,duration_s,status", "0,1,200")))


# The trace as a value


def test_a_trace_is_a_value():
    trace = rl.Trace(start=[1.0, 0.0], duration=[0.2, 0.1], failed=[True, False])
    for copied in (copy.deepcopy(trace), pickle.loads(pickle.dumps(trace)), trace.replace()):
        assert copied == trace
        assert hash(copied) == hash(trace)
        assert not copied.start.flags.writeable
    assert trace != trace.replace(duration=[0.1, 0.3])
    assert trace != trace.replace(failed=None)


@pytest.mark.parametrize(
    "fields",
    [
        {"start": [], "duration": []},
        {"start": [0.0, math.nan], "duration": [1, 1]},
        {"start": [0.0], "duration": [-1.0]},
        {"start": [0.0], "duration": [math.inf]},
        {"start": [0.0, 1.0], "duration": [1.0]},
        {"start": [0.0], "duration": [1.0], "failed": [True, False]},
        {"start": [5.0], "duration": [1.0], "span": 4.0},
        {"start": [0.0], "duration": [1.0], "tick": 0.0},
        {"start": [0.0], "duration": [1.0], "timestamp": "middle"},
        {"start": "0.0", "duration": [1.0]},
        {"start": [0.0], "duration": ["1.0"]},
        {"start": [[0.0]], "duration": [1.0]},
        {"start": [0.0], "duration": [1.0], "status": [math.nan]},
        {"start": [0.0], "duration": [1.0], "status": [10**9]},
        {"start": [0.0], "duration": [1.0], "status": ["OK"]},
        {"start": [0.0], "duration": [1.0], "failed": ["no"]},
        {"start": [0.0], "duration": [1.0], "line": [math.inf]},
    ],
)
def test_impossible_traces_are_refused(fields):
    with pytest.raises((TypeError, ValueError), match=r"^\w+ must (be|not be|hold) .*got"):
        rl.Trace(**fields)


def test_a_window_counts_its_times_from_its_start():
    trace = rl.Trace(start=[0, 1, 2, 3], duration=[1, 2, 3, 4], status=[200, 503, 200, 200], failed=[0, 1, 0, 0])
    part = trace.window(1, 3)
    assert part.start.tolist() == [0.0, 1.0]
    assert part.duration.tolist() == [2.0, 3.0]
    assert part.failure_rate == 0.5
    assert (part.span, part.rate) == (2.0, 1.0)
    assert part.latency().values == (3.0,)
    assert part.latency("failure").values == (2.0,)
    assert part.latency("all").values == (2.0, 3.0)
    with pytest.raises(rl.TraceError, match="no request begins from 10"):
        trace.window(10, 20)
    with pytest.raises(ValueError, match="end must be > start"):
        trace.window(2, 2)
    with pytest.raises(rl.TraceError, match="no requests of the kind 'failure'"):
        trace.window(2, 4).latency("failure")


def test_equal_timestamps_are_spread_over_the_tick_of_the_clock(log):
    lines = [f"2026-01-01T00:00:0{i // 4}Z,1ms,200" for i in range(8)]
    trace = rl.read_trace(log(rows("start,duration,status", *lines)))
    assert trace.tick == 1.0
    assert trace.start.tolist() == [0.0] * 4 + [1.0] * 4
    assert trace.workload().times == tuple(i / 4 for i in range(8))
    assert trace.workload(spread=False).times == tuple(trace.start)


def test_equal_ends_are_spread_over_the_tick_of_the_clock(log):
    trace = rl.read_trace(log(rows("time,duration,status", "8,3s,200", "8,1s,200", "9,1s,200")), timestamp="end")
    assert trace.workload().times == (0.0, 2.5, 3.0)


def test_in_flight_obeys_littles_law():
    """The integral of the requests under way is the sum of the durations."""
    random = np.random.default_rng(1)
    trace = rl.Trace(start=random.random(500) * 10, duration=random.exponential(size=500))
    series = trace.in_flight()
    area = (series.to_numpy()[:-1] * np.diff(series.index)).sum()
    assert area == pytest.approx(trace.duration.sum())
    assert series.iloc[-1] == 0
    assert trace.summary()["in_flight"] == pytest.approx(trace.duration.sum() / trace.span)


def test_frame_and_summary_show_what_was_read(log):
    trace = quietly(log(rows("start,duration_s,status", "0,1,200", "1,3,503", "x,1,200")))
    assert trace.frame.to_dict("list") == {
        "start": [0.0, 1.0],
        "end": [1.0, 4.0],
        "duration": [1.0, 3.0],
        "status": [200, 503],
        "failed": [False, True],
        "timed_out": [False, False],
        "line": [2, 3],
    }
    numbers = trace.summary()
    assert (numbers["requests"], numbers["bad_rows"], numbers["failure_rate"], numbers["p50"]) == (2, 1, 0.5, 2.0)


# The shipped trace


def test_the_shipped_trace_shows_its_faults():
    trace = rl.read_trace(DATA / "orders.csv.gz", strict=True)
    assert (len(trace), trace.tick) == (23_913, 1e-4)
    healthy = trace.window(0, 40).summary()
    assert np.allclose(healthy[["p50", "p95", "p99"]], [0.046, 0.113, 0.171], atol=0.001)
    assert healthy["failure_rate"] == 0
    assert 0.25 < trace.window(40, 50).failure_rate < 0.35
    assert trace.window(50, 239).failure_rate == 0
    assert trace.window(90, 98).summary()["p50"] > 6
    assert trace.window(150, 165).summary()["p95"] > 8
    assert all(path.stat().st_size < 200_000 for path in DATA.iterdir())


def test_the_shipped_service_times_fit_the_healthy_phase():
    alone = np.loadtxt(DATA / "service_times.csv.gz", skiprows=1) / 1e3
    healthy = rl.read_trace(DATA / "orders.csv.gz").window(0, 40).duration
    assert len(alone) == 5000
    for percent in (50, 95):
        assert np.percentile(alone, percent) == pytest.approx(np.percentile(healthy, percent), rel=0.1)


def test_the_trace_plays_against_a_policy():
    trace = rl.read_trace(DATA / "orders.csv.gz").window(0, 10)
    scenario = rl.Scenario(
        workload=trace.workload(),
        service=rl.Service(workers=8, latency=trace.latency(), failure_rate=trace.failure_rate, on_cancel="ignore"),
        policy=rl.Timeout(1.0),
    )
    assert rl.simulate(scenario, seed=1).counts()["success"] == len(trace)
