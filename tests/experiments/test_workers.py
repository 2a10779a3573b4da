"""Experiments on several processes: caches, interrupts, workers that die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import resilab as rl
from resilab.experiments.cache import RunCache
from resilab.experiments.failures import InterruptedExperimentWarning, WorkerLostError, pack

SCENARIO = rl.Scenario(rl.Poisson(rate=15), rl.Service(2, rl.Exponential(0.1), queue_limit=20), duration=20.0)

HANGS = 600.0
"""Seconds after which a process hangs for sure, however busy the machine is."""


def build(rate: float) -> rl.Scenario:
    return SCENARIO.replace(workload=rl.Poisson(rate))


def interrupt_after(count: int):
    """Return a `watch` that does what Ctrl-C does, after so many runs."""
    seen = []

    def watch(row):
        seen.append(row)
        if len(seen) == count:
            raise KeyboardInterrupt

    return watch


class TestInterrupt:
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_an_interrupted_sweep_returns_what_is_finished(self, n_jobs):
        rates = [float(rate) for rate in range(5, 25)]
        arguments = {"rate": rates, "replications": 2, "metrics": "p99", "progress": False}
        with pytest.warns(InterruptedExperimentWarning, match="interrupted after 13 of 40 runs"):
            frame = rl.sweep(build, n_jobs=n_jobs, watch=interrupt_after(13), **arguments)
        assert frame.replications.sum() == 13
        full = rl.sweep(build, n_jobs=1, **arguments).set_index("rate")
        whole = frame[frame.replications == 2].set_index("rate")
        assert len(whole)
        assert whole.p99.equals(full.p99[whole.index])

    def test_an_interrupt_before_the_first_run_ends_leaves_empty_frames(self):
        """With the columns that are known, so that the lines below it in a notebook say no more than that."""

        def interrupt(scenario, seed):
            raise KeyboardInterrupt

        frames = []
        for play in (
            lambda: rl.replicate(SCENARIO, 2, run=interrupt),
            lambda: rl.compare({"a": SCENARIO, "b": SCENARIO}, replications=2, run=interrupt),
            lambda: rl.sweep(build, rate=[5.0], run=interrupt),
        ):
            with pytest.warns(InterruptedExperimentWarning, match="interrupted after 0 of"):
                frames.append(play())
        assert all(frame.empty for frame in frames)
        assert frames[0].columns.tolist() == ["seed"]
        assert frames[2].columns.tolist() == ["rate", "replications", "error"]

    @pytest.mark.slow
    def test_work_goes_on_after_an_interrupt(self):
        with pytest.warns(InterruptedExperimentWarning):
            rl.sweep(build, rate=[5.0, 6.0], metrics="p99", n_jobs=2, watch=interrupt_after(1))
        assert len(rl.replicate(SCENARIO, 4, metrics="p99", n_jobs=2)) == 4

    @pytest.mark.slow
    def test_ctrl_c_in_a_script_keeps_the_finished_runs(self, tmp_path):
        """A real SIGINT to a process and its workers."""
        script = tmp_path / "script.py"
        script.write_text(
            textwrap.dedent(
                """
                import signal
                import resilab as rl
                SCENARIO = rl.Scenario(rl.Poisson(50), rl.Service(10, 0.1), duration=20.0)
                def watch(row):
                    print("run", flush=True)
                def build(rate):
                    return SCENARIO.replace(workload=rl.Poisson(rate))
                if __name__ == "__main__":
                    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore Ctrl-C
                    frame = rl.sweep(build, rate=range(10, 2000), replications=1, metrics="p99", n_jobs=2,
                                     progress=False, watch=watch)
                    print("kept", int(frame.replications.sum()), flush=True)
                """
            )
        )
        errors = tmp_path / "errors.txt"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
            )
        guard = threading.Timer(HANGS, os.killpg, (process.pid, signal.SIGKILL))
        guard.start()
        for _ in range(20):
            assert process.stdout.readline() == "run\n"
        os.killpg(process.pid, signal.SIGINT)
        lines = []
        while not lines or lines[-1].startswith("run"):  # not to the end of the pipe: workers may hold it a while
            lines.append(process.stdout.readline())
        process.wait()
        guard.cancel()
        kept = int(lines[-1].removeprefix("kept "))
        assert kept - 20 - lines.count("run\n") in (0, 1)  # the signal may come between a run and its `watch`
        assert kept < 1990
        assert f"interrupted after {kept} of 1990 runs" in errors.read_text()


class TestWorkersThatDie:
    @pytest.mark.slow
    def test_a_killed_worker_loses_nothing(self, tmp_path):
        once = tmp_path / "killed"
        rows = []

        def deadly(result):
            if result.seed == 7 and not once.exists():
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return result.latency.mean()

        frame = rl.sweep(
            build, rate=[15.0], replications=20, metrics=deadly, n_jobs=2, progress=False, watch=rows.append
        )
        assert once.exists()
        assert frame.replications[0] == 20
        assert sorted(row["seed"] for row in rows) == list(range(20))
        alone = rl.replicate(SCENARIO, 20, metrics=lambda result: result.latency.mean(), n_jobs=1)
        assert frame.deadly[0] == alone["value"].mean()

    @pytest.mark.slow
    def test_a_run_that_kills_its_worker_every_time_is_an_error_and_the_rest_is_kept(self):
        def deadly(result):
            if result.seed in (3, 11) and result.scenario.workload.rate == 15.0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result.latency.mean()

        arguments = {"rate": [5.0, 15.0], "replications": 14, "metrics": deadly, "progress": False}
        with pytest.warns(UserWarning, match="1 of 2 settings have errors"):
            frame = rl.sweep(build, n_jobs=2, **arguments)
        assert frame["replications"].tolist() == [14, 12]
        assert frame["error"].str.startswith("WorkerLostError: the run ended its worker process").tolist() == [
            False,
            True,
        ]
        with pytest.raises(WorkerLostError) as caught:
            rl.replicate(SCENARIO, 14, metrics=deadly, n_jobs=2, progress=False)
        assert caught.value.__notes__ == ["in the run with seed 3"]


class OddError(Exception):
    """Its constructor takes other arguments than it keeps."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.lock = threading.Lock()


class TestErrorsReachTheUser:
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_as_they_are_with_setting_and_seed(self, n_jobs):
        class Local(OddError):
            pass

        def fails(result):
            if result.seed >= 4:
                raise Local(code=result.seed)
            return 1.0

        with pytest.raises(Local, match="code 4") as caught:
            rl.replicate(SCENARIO, 8, metrics=fails, n_jobs=n_jobs, progress=False)
        assert caught.value.code == 4
        assert caught.value.__notes__ == ["in the run with seed 4"]
        with pytest.raises(Local) as caught:
            rl.sweep(build, rate=[15.0], seed=4, metrics=fails, n_jobs=n_jobs, progress=False)
        assert caught.value.__notes__ == ["in the setting {'rate': 15.0} with seed 4"]

    @pytest.mark.slow
    def test_of_several_the_first_is_raised_on_any_number_of_workers(self):
        def slow_then_fails(model, seed):
            time.sleep(0.3 if seed == 2 else 0.0)
            if seed >= 2:
                raise KeyError(seed)

        for n_jobs in (1, 2):
            with pytest.raises(KeyError) as caught:
                rl.replicate("model", 8, run=slow_then_fails, metrics=lambda _: 1, n_jobs=n_jobs, progress=False)
            assert caught.value.args == (2,)

    def test_the_traceback_of_a_worker_is_kept_as_its_cause(self):
        def fails_in_a_worker(result):
            raise KeyError("here")

        with pytest.raises(KeyError) as caught:
            rl.replicate(SCENARIO, 2, metrics=fails_in_a_worker, n_jobs=2, progress=False)
        assert "in fails_in_a_worker" in str(caught.value.__cause__)

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_a_run_that_exits_is_an_error_row(self, n_jobs):
        def leaves(result):
            return sys.exit(3) if result.seed == 1 else 1.0

        with pytest.warns(UserWarning, match="have errors"):
            frame = rl.sweep(build, rate=[15.0], replications=3, metrics=leaves, n_jobs=n_jobs, progress=False)
        assert frame[["replications", "error"]].to_numpy().tolist() == [[2, "SystemExit: 3"]]

    def test_what_cannot_be_pickled_at_all_travels_as_text(self):
        error = pack(type("Strange", (Exception,), {"__reduce__": None})(threading.Lock())).unpack()
        assert isinstance(error, Exception)

    def test_warnings_point_to_the_line_of_the_user(self):
        with pytest.warns(InterruptedExperimentWarning) as caught:
            rl.sweep(build, rate=[5.0], metrics="p99", watch=interrupt_after(1))
        assert caught[0].filename == __file__


class TestCache:
    def test_runs_are_read_and_not_run_again(self, tmp_path):
        first = rl.replicate(SCENARIO, 3, cache=tmp_path)
        files = sorted(tmp_path.rglob("*.json"))
        assert len(files) == 3
        changed = json.loads(files[0].read_text()) | {"p99": 42.0}
        files[0].write_text(json.dumps(changed))
        assert 42.0 in rl.replicate(SCENARIO, 3, cache=tmp_path).p99.tolist()
        files[0].write_text("{half")
        assert rl.replicate(SCENARIO, 3, cache=tmp_path).equals(first)

    def test_more_replications_add_to_it(self, tmp_path):
        rl.replicate(SCENARIO, 3, metrics="p99", cache=tmp_path)
        frame = rl.replicate(SCENARIO, 5, metrics="p99", cache=tmp_path)
        assert len(list(tmp_path.rglob("*.json"))) == 5
        assert frame.equals(rl.replicate(SCENARIO, 5, metrics="p99"))

    def test_an_interrupted_sweep_goes_on_where_it_was(self, tmp_path):
        arguments = {"rate": [5.0, 10.0, 15.0], "replications": 4, "metrics": "p99", "cache": tmp_path}
        with pytest.warns(InterruptedExperimentWarning):
            rl.sweep(build, watch=interrupt_after(7), **arguments)
        assert len(list(tmp_path.rglob("*.json"))) == 7
        assert rl.sweep(build, **arguments).equals(rl.sweep(build, **arguments | {"cache": None}))

    def test_another_seed_scenario_metric_or_horizon_is_another_run(self, tmp_path):
        rl.replicate(SCENARIO, 1, 0, "p99", cache=tmp_path)
        rl.replicate(SCENARIO, 1, 1, "p99", cache=tmp_path)
        rl.replicate(build(16.0), 1, 0, "p99", cache=tmp_path)
        rl.replicate(SCENARIO, 1, 0, "p95", cache=tmp_path)
        rl.replicate(SCENARIO, 1, 0, "p99", cache=tmp_path, horizon=10.0)
        assert len(list(tmp_path.rglob("*.json"))) == 5

    def test_errors_are_not_kept(self, tmp_path):
        with pytest.raises(ValueError, match="p98"):
            rl.replicate(SCENARIO, 1, metrics="p98", cache=tmp_path)
        assert not list(tmp_path.rglob("*.json"))

    def test_the_folder_may_begin_with_the_users_home(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        rl.replicate(SCENARIO, 1, metrics="p99", cache="~/runs")
        assert len(list((tmp_path / "runs").rglob("*.json"))) == 1

    def test_a_full_disk_leaves_no_parts(self, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("resilab.experiments.cache.json.dump", full)
        with pytest.warns(UserWarning, match="No space left") as caught:
            rl.replicate(SCENARIO, 1, metrics="p99", cache=tmp_path)
        assert caught[0].filename == __file__
        assert not [each for each in tmp_path.rglob("*") if each.is_file()]

    def test_an_interrupt_while_runs_are_looked_up_ends_it_as_well(self, tmp_path, monkeypatch):
        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("resilab.experiments.cache.RunCache.path", interrupt)
        with pytest.warns(InterruptedExperimentWarning, match="interrupted after 0 of 2 runs"):
            assert rl.replicate(SCENARIO, 2, metrics="p99", cache=tmp_path).empty

    def test_nothing_is_half_written(self, tmp_path):
        cache = RunCache(tmp_path)
        path = cache.path("key")
        cache.write(path, {"x": float("nan"), "y": 0.1 + 0.2})
        assert [each.suffix for each in tmp_path.rglob("*") if each.is_file()] == [".json"]
        assert cache.read(path)["y"] == 0.1 + 0.2
        assert cache.read(cache.path("another")) is None

    @pytest.mark.parametrize(
        "damaged", [b"", b"{half", b"\xff\xfe{", b"{}", b"[1]", b'{"p99": "x"}', b'{"p99": null}', b"[" * 100_000]
    )
    def test_a_damaged_file_is_no_run(self, tmp_path, damaged):
        whole = rl.replicate(SCENARIO, 1, metrics="p99", cache=tmp_path)
        (file,) = tmp_path.rglob("*.json")
        file.write_bytes(damaged)
        assert rl.replicate(SCENARIO, 1, metrics="p99", cache=tmp_path).equals(whole)

    def test_a_folder_that_cannot_be_written_is_refused_before_the_first_run(self, tmp_path):
        file = tmp_path / "file"
        file.touch()
        for folder, message in (
            (file, "cache must be a folder that can be written, got "),
            (file / "below", "cache must"),
        ):
            with pytest.raises(ValueError, match=message):
                rl.replicate(SCENARIO, 1, cache=folder, run=pytest.fail)
        for folder in (3, "", b"folder", True):
            with pytest.raises(TypeError, match="cache must be a folder, got "):
                rl.replicate(SCENARIO, 1, cache=folder, run=pytest.fail)

    def test_a_cache_that_fails_later_costs_no_run(self, tmp_path):
        whole = rl.replicate(SCENARIO, 1, metrics="p99", cache=tmp_path)
        (file,) = tmp_path.rglob("*.json")
        file.unlink()
        file.parent.rmdir()
        file.parent.touch()  # a file where the folder should be, as good as a full disk
        with pytest.warns(UserWarning, match="a run was not kept in the cache"):
            assert rl.replicate(SCENARIO, 1, metrics="p99", cache=tmp_path).equals(whole)


class TestAutomaticWorkers:
    def test_little_work_starts_none(self, monkeypatch):
        monkeypatch.setattr("resilab.experiments.runs.Workers._on_workers", None)
        assert len(rl.replicate(SCENARIO, 3, metrics="p99")) == 3

    @pytest.mark.slow
    def test_much_work_starts_some_after_a_trial(self):
        ids = rl.replicate("model", 30, run=lambda model, seed: _work(0.1), metrics=lambda result: os.getpid())
        assert ids["value"][0] == os.getpid()
        assert ids["value"].iloc[-1] != os.getpid()
        assert len(set(ids["value"])) > 1

    def test_a_joblib_config_is_followed(self):
        joblib = pytest.importorskip("joblib")
        with joblib.parallel_config("threading", n_jobs=2):
            frame = rl.replicate(SCENARIO, 4, metrics="p99", progress=False)
        assert frame.equals(rl.replicate(SCENARIO, 4, metrics="p99"))


def _work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
