"""What is read many rows at once is what is read one by one."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import resilab as rl
from resilab.traces import values
from resilab.traces.clocks import times_alike, times_in_numbers
from resilab.traces.columns import BadValue, time_reader
from resilab.traces.reading import read_trace

CLOCK = st.tuples(*(st.integers(0, most) for most in (24, 60, 60))).map(
    lambda parts: "{:02d}:{:02d}:{:02d}".format(*parts)
)
DAY = st.tuples(st.integers(1969, 2224), st.integers(0, 13), st.integers(0, 32))
FRACTION = st.sampled_from(["", ".5", ".120", ".000123", ".123456789", ".1234567891"])
ZONE = st.sampled_from(["", "Z", "+00:00", "-05:30", "+25:00"])
ISO = st.tuples(
    DAY.map(lambda day: "{:04d}-{:02d}-{:02d}".format(*day)), st.sampled_from("T _"), CLOCK, FRACTION, ZONE
).map("".join)
COMMON = st.tuples(
    st.integers(0, 32), st.sampled_from(["Jan", "feb", "DEC", "Foo"]), st.integers(1969, 2224), CLOCK
).map(lambda parts: "{:02d}/{}/{}:{} +0200".format(*parts))
NUMBER = st.sampled_from(["", "+", "-"]).flatmap(
    lambda sign: st.tuples(st.just(sign), st.integers(0, 10**20).map(str), FRACTION).map("".join)
)
OTHER = st.sampled_from(["", "-", "soon", "12:30", "1e3", "nan", "٣", "2026-02-30T00:00:00Z"])


def one_by_one(texts, unit):
    found = {}
    for place, text in enumerate(texts):
        try:
            found[place] = time_reader(unit)(text)
        except BadValue:
            continue
    return found


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        *(st.lists(each, min_size=1, max_size=8) for each in (ISO, COMMON, NUMBER, ISO | COMMON | NUMBER | OTHER))
    ),
    st.sampled_from([None, "s", "ms", "ns"]),
)
@example(["2024-02-29T23:59:59Z", "2023-02-29T23:59:59Z", "2024-02-28T23:59:59Z"], None)
@example(["1767225600.123", "1767225600123", "176722560.1235", "9223372036854775807", "9999999999999999999"], None)
@example(["12.45", "12345", "1.245"], None)
def test_times_that_are_alike_are_those_of_the_exact_reader(texts, unit):
    exact = one_by_one(texts, unit)
    for found in times_alike(texts, unit):
        for place, stamp in zip(found.places.tolist(), found.nanoseconds.tolist(), strict=True):
            assert exact[place] == (stamp, found.form)


@pytest.mark.parametrize(
    "texts", [["2026-01-02T03:04:05.678Z"] * 3, ["02/Jan/2026:03:04:05 +0100"] * 3, ["12.5", "13.5"]]
)
def test_usual_times_need_no_closer_look(texts):
    assert sorted(place for found in times_alike(texts, None) for place in found.places.tolist()) == list(
        range(len(texts))
    )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-(10**6), 2**63 - 1) | st.integers(0, 10**19 // 2), min_size=1),
    st.sampled_from([None, "s", "us"]),
)
def test_whole_numbers_are_those_of_the_exact_reader(numbers, unit):
    exact = one_by_one(map(str, numbers), unit)
    for found in times_in_numbers(np.array(numbers, dtype=np.int64), unit):
        for place, stamp in zip(found.places.tolist(), found.nanoseconds.tolist(), strict=True):
            assert exact[place] == (stamp, found.form)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 10**15 - 1), min_size=1))
def test_seconds_in_floats_keep_their_nanoseconds(nanoseconds):
    numbers = np.array([float(f"{n // 10**9}.{n % 10**9:09d}") for n in nanoseconds])
    (found,) = times_in_numbers(numbers, None)
    assert found.nanoseconds.tolist() == nanoseconds


FIELDS = {
    "start": st.sampled_from(["0.25", "12", "3.5", "2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z", "-", "x", "+1"]),
    "latency_ms": st.sampled_from(["12", "12.5", "-", "", "nan", "inf", "-3", "1e2", "0x1", "1_0", " 7 ", "3ms"]),
    "status": st.sampled_from(["200", "503", "0200", "+200", "-1", "2000", "timeout", "", "200.0", "true", "٣"]),
    "path": st.sampled_from(["/a", "/b/1", "", "true", "1", "ä"]),
}
ROW = st.tuples(*FIELDS.values())
GOOD = st.tuples(
    st.integers(0, 10**9).map(lambda n: f"{n / 1000:.3f}"),
    st.integers(0, 10**4).map(str),
    st.sampled_from(["200", "503"]),
    st.sampled_from(["/a", "/b"]),
)


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read_trace(path)
        except rl.traces.TraceError as error:
            return str(error)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(GOOD | ROW, min_size=1, max_size=6) | st.lists(GOOD, min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_a_plain_text_and_a_quoted_one_say_the_same(tmp_path_factory, rows, end, ends):
    folder = tmp_path_factory.getbasetemp()
    lines = [",".join(FIELDS), *(",".join(row) for row in rows)]
    quoted = [lines[0], ",".join(f'"{field}"' for field in rows[0]), *lines[2:]]
    found = []
    for text in (lines, quoted):
        path = folder / "rows.csv"
        path.write_bytes((end.join(text) + (end if ends else "")).encode())
        found.append(read(path))
    plain, other = found
    if isinstance(plain, str):
        assert plain.replace('"', "") == other.replace('"', "")
        return
    assert plain == other.replace(bad_rows=plain.bad_rows)
    assert [row[:2] for row in plain.bad_rows] == [row[:2] for row in other.bad_rows]
    assert plain.understood == other.understood


def test_rows_that_lack_and_exceed_fields_are_told_by_their_lines(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("start,latency_ms,status\n0,1,200\n1,2\n2,3,200,9\n\n3,4,200\n")
    with pytest.warns(UserWarning, match="2 of 4 rows"):
        trace = read_trace(path)
    assert [row.line for row in trace.bad_rows] == [3, 4]
    assert trace.line.tolist() == [2, 6]


def test_a_row_that_lacks_a_field_is_bad_where_nothing_else_is(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("start,latency_ms,status,path\n0,1,200,/\n1,2,200\n2,3,200,/\n")
    with pytest.warns(UserWarning, match="it has 3 fields, the header has 4"):
        assert len(read_trace(path)) == 2


def test_a_file_and_its_frame_say_the_same(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(
        "start,latency_ms,status,path\n"
        + "".join(f"{i / 8},{i % 7}.5,{(200, 503)[i % 3 == 0]},/a/{i % 2}\n" for i in range(50))
    )
    plain, frame = read_trace(path), read_trace(pd.read_csv(path))
    assert plain.start.tolist() == frame.start.tolist()
    assert plain.duration.tolist() == frame.duration.tolist()
    assert plain.status.tolist() == frame.status.tolist()
    assert plain.endpoint.tolist() == frame.endpoint.tolist()


def test_times_are_the_same_in_batches_of_any_size(tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    times = ["2026-01-01T00:00:00Z", "x", "2026-01-01T00:00:01.5Z", "-", "2026-01-01T00:00:02Z", "2026-01-01T00:00:09Z"]
    path.write_text("timestamp,latency_ms,status\n" + "".join(f"{time},1,200\n" for time in times))
    whole = read(path)
    assert whole.start.tolist() == [0.0, 1.5, 2.0, 9.0]
    monkeypatch.setattr(values, "BATCH", 2)
    assert read(path) == whole


@pytest.mark.parametrize("rows", [None, 1, 2, 5])
def test_rows_that_are_no_requests_and_parts_of_a_file_are_left_out_alike(tmp_path, rows):
    header = "metric_name,timestamp,metric_value,status,url"
    kinds = ["http_req_duration", "http_reqs", "http_req_duration", "http_req_waiting", "http_req_duration"]
    lines = [f"{kind},{1767225600 + i},{i}.5,{200 + 303 * (i == 2)},/a/{i}" for i, kind in enumerate(kinds)]
    quoted = [f'"{kinds[0]}"{lines[0].removeprefix(kinds[0])}', *lines[1:]]
    found = []
    for text in (lines, quoted):
        path = tmp_path / "k6.csv"
        path.write_text("\n".join([header, *text]))
        found.append(read_trace(path, rows=rows))
    plain, other = found
    assert plain.line.tolist() == [2, 4, 6][:rows]
    assert plain.status.tolist() == [200, 503, 200][:rows]
    assert plain == other
    assert plain.understood == other.understood


def test_a_bad_value_among_chosen_rows_is_shown_as_it_is_written(tmp_path):
    path = tmp_path / "k6.csv"
    lines = ["http_reqs,1,1.5,200", "http_req_duration,2,-1.50,200", "http_req_duration,3,007.5,200"]
    path.write_text("\n".join(["metric_name,timestamp,metric_value,status", *lines]))
    with pytest.warns(UserWarning, match=r"is negative: '-1\.50'"):
        assert read_trace(path).duration.tolist() == [0.0075]


def test_a_frame_must_name_each_column_once():
    frame = pd.DataFrame([[0, 1, 2, 200]], columns=["start", "latency_ms", "latency_ms", "status"])
    with pytest.raises(rl.traces.TraceError, match="each column once, got 'latency_ms' twice"):
        read_trace(frame)
