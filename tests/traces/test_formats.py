"""Every usual log is told from its content: the files of tests/data/logs all hold the same four requests."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import resilab as rl

LOGS = Path(__file__).resolve().parents[1] / "data" / "logs"
KINDS = {
    "nginx_combined.log": "nginx",
    "nginx_pairs.log": "nginx, duration from rt=",
    "apache.log": "Apache",
    "envoy.log": "Envoy",
    "envoy.jsonl": "Envoy (JSON)",
    "aws_alb.log": "AWS load balancer",
    "otel.json": "spans, 4 of 5 are requests",
    "jaeger.json": "spans, 4 of 5 are requests",
    "k6.json": "k6 (JSON)",
    "vegeta.jsonl": "vegeta",
    "vegeta.csv": "vegeta",
    "jmeter.jtl": "JMeter",
    "plain.csv": "CSV",
    "lines.jsonl": "JSON lines",
    "pairs.log": "key=value",
}
WHOLE_SECONDS = {"nginx_combined.log", "nginx_pairs.log", "apache.log"}


@pytest.mark.parametrize("name", KINDS)
def test_a_usual_log_is_read_without_an_argument(name):
    trace = rl.read_trace(LOGS / name, strict=True)
    assert trace.understood.startswith(KINDS[name])
    assert "4 requests" in trace.understood
    expected = [0.045, 1.5, np.nan if name == "aws_alb.log" else 2.0, 0.001]
    order = np.argsort(trace.line, kind="stable")
    assert np.array_equal(trace.duration[order], expected, equal_nan=True)
    assert trace.failed[order].tolist() == [False, True, True, False]
    assert trace.timed_out[order].tolist() == [False, False, True, False]
    starts = [0.0, 0.5, 3.0 if name == "aws_alb.log" else 1.0, 3.0]
    slack = 1.0 if name in WHOLE_SECONDS else 1e-9
    assert np.allclose(trace.start[order], starts, atol=slack)


@pytest.mark.parametrize("name", ["nginx_combined.log", "apache.log", "envoy.log", "plain.csv", "pairs.log"])
def test_an_endpoint_is_its_path_without_numbers_and_query(name):
    trace = rl.read_trace(LOGS / name)
    assert trace.endpoints().to_dict() == {"/orders/{id}": 2, "/orders": 1, "/health": 1}
    assert len(rl.read_trace(LOGS / name, endpoint="/orders/{id}")) == 2
    with pytest.raises(rl.TraceError, match="no request has the endpoint '/nowhere'.*'/health'"):
        trace.only("/nowhere")


@pytest.mark.parametrize("name", KINDS)
def test_a_packed_log_is_the_same(name, tmp_path):
    path = tmp_path / "log"
    path.write_bytes(gzip.compress((LOGS / name).read_bytes()))
    assert rl.read_trace(path) == rl.read_trace(LOGS / name)


def test_zstd_is_unpacked(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.compress((LOGS / "plain.csv").read_bytes())
    path = tmp_path / "log"
    path.write_bytes(packed)
    assert rl.read_trace(path) == rl.read_trace(LOGS / "plain.csv")
    path.write_bytes(packed[:4] + b"\xff" * 40)
    with pytest.raises(rl.TraceError, match="damaged zstd data"):
        rl.read_trace(path)


def test_a_frame_is_read_with_its_own_types():
    frame = pd.DataFrame(
        {
            "start": pd.to_datetime(["2026-11-22T14:38:40Z", "2026-11-22T14:38:40.5Z", None], format="ISO8601"),
            "duration": pd.to_timedelta([0.045, None, 1], unit="s"),
            "status": [200, 503, 200],
        }
    )
    with pytest.warns(UserWarning, match="1 of 3 rows of the frame are bad: line 3: start is missing"):
        trace = rl.read_trace(frame)
    assert np.array_equal(trace.duration, [0.045, np.nan], equal_nan=True)
    assert trace.failed.tolist() == [False, True]
    numbers = pd.DataFrame({"start": [0.0, 0.25], "duration_ms": [45.5, 1], "ok": [True, False]})
    trace = rl.read_trace(numbers)
    assert (trace.start.tolist(), trace.duration.tolist()) == ([0.0, 0.25], [0.0455, 0.001])
    assert trace.failed.tolist() == [False, True]


def test_parquet_is_read(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "log"
    pd.read_csv(LOGS / "plain.csv").to_parquet(path)
    trace = rl.read_trace(path)
    assert trace == rl.read_trace(LOGS / "plain.csv").replace(line=trace.line)  # rows, not lines
    assert trace.understood.startswith("Parquet")


def test_a_part_of_a_large_file_is_read():
    assert len(rl.read_trace(LOGS / "plain.csv", rows=2)) == 2
    assert len(rl.read_trace(LOGS / "k6.json", rows=3)) == 3


def test_other_requests_than_the_first_ones_are_counted(tmp_path):
    path = tmp_path / "log"
    path.write_text((LOGS / "envoy.log").read_text() + "[2026-11-22T14:38:44Z] cut off\n")
    with pytest.warns(UserWarning, match="1 of 5 rows .* line 5: it has another form than the first lines"):
        trace = rl.read_trace(path)
    assert trace.bad_rows[0].text == "[2026-11-22T14:38:44Z] cut off"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '10.0.0.1 - - [22/Nov/2026:14:38:40 +0000] "GET / HTTP/1.1" 200 512 "-" "curl/8.5.0"\n',
            r"without a duration. Log one: .*\$request_time.*%D",
        ),
        (
            '10.0.0.1 - - [22/Nov/2026:14:38:40 +0000] "GET / HTTP/1.1" 200 512 "-" "curl/8.5.0" 45\n',
            "unit of the number at its end.*duration_unit=",
        ),
        (
            '"Type","Name","Request Count","Failure Count","Median Response Time","Average Response Time"\n',
            "summary of Locust.*on_request",
        ),
        (
            "Running 30s test @ http://127.0.0.1:8080/\n  2 threads and 100 connections\n  Thread Stats   Avg\n",
            "summary of wrk.*vegeta",
        ),
        ('{"metrics": {"http_reqs": {"count": 4}, "http_req_duration": {"avg": 4.5}}}', "summary of k6.*--out csv"),
        ("PAR1 and then nothing", "Parquet"),
        ('[{"time": ', "begins like JSON and is none"),
    ],
)
def test_what_has_no_requests_says_what_to_log_instead(content, message, tmp_path):
    path = tmp_path / "log"
    path.write_text(content)
    with pytest.raises(rl.TraceError, match=message):
        rl.read_trace(path)


def test_durations_alone_are_read_in_every_simple_form(tmp_path):
    path = tmp_path / "alone"
    for text in ("duration_ms\n12.5\n80\n", "12.5ms\n80ms\n", "n,latency_us\n1,12500\n2,80000\n", "12.5 ms\n0.08s\n"):
        path.write_text(text)
        assert rl.read_durations(path) == rl.Empirical([0.0125, 0.08])
    path.write_text("12.5\n80\n")
    assert rl.read_durations(path, unit="ms") == rl.Empirical([0.0125, 0.08])
    with pytest.raises(rl.TraceError, match="unit .* is unknown: say it with unit="):
        rl.read_durations(path)
    path.write_text("duration_ms\n12.5\nx\n\n80\n")
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        assert len(rl.read_durations(path).values) == 2


def spans(key, kind, codes):
    """An OTLP document with a span for each code."""
    return {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "name": "shop.Orders/Place",
                                "kind": 2,
                                "startTimeUnixNano": str(10**18 + number * 10**9),
                                "endTimeUnixNano": str(10**18 + number * 10**9 + 45_000_000),
                                "status": {"code": 2} if code not in (0, "OK") else {},
                                "attributes": [{"key": key, "value": {kind: code}}],
                            }
                            for number, code in enumerate(codes)
                        ]
                    }
                ]
            }
        ]
    }


@pytest.mark.parametrize(
    ("key", "kind", "codes"),
    [
        ("rpc.grpc.status_code", "intValue", [0, 5, 14, 8, 4, 1]),
        (
            "rpc.response.status_code",
            "stringValue",
            ["OK", "NOT_FOUND", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED"],
        ),
    ],
)
def test_codes_of_grpc_are_outcomes(key, kind, codes, tmp_path):
    """Not found is an answer; unavailable is none, exhausted is a refusal, and two are time limits of somebody."""
    path = tmp_path / "spans.json"
    path.write_text(json.dumps(spans(key, kind, codes)))
    trace = rl.read_trace(path, strict=True)
    assert trace.failed.tolist() == [False, False, True, True, True, True]
    assert trace.timed_out.tolist() == [False, False, False, False, True, True]
