"""The explorer as one file: its grid of settings, what it holds, and bad input."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re

import pytest
from PIL import Image

import resilab as rl


def build(workers=3, rate=20.0, discipline="fifo", outage=False):
    """Few workers & many requests."""
    faults = (rl.Outage(start=1, duration=0.5),) if outage else ()
    service = rl.Service(workers, latency=rl.Exponential(mean=0.1), discipline=discipline, faults=faults)
    return rl.Scenario(rl.Poisson(rate=rate), service, rl.Timeout(0.5), duration=2.0)


@pytest.fixture
def explorer():
    """An explorer with a control of every kind, and a small picture."""
    controls = {"workers": (1, 8), "rate": (5.0, 50.0, 0.5), "discipline": ["fifo", "lifo"], "outage": False}
    presets = {"storm": ({"workers": 1, "rate": 48.5}, "Most time out.")}
    return rl.explore(build, size=(4, 3), dpi=40, presets=presets, **controls)


def read(path):
    """Return the text of a page, and the data in it."""
    text = path.read_text(encoding="utf-8")
    packed = re.search(r'id="data">([^<]+)<', text)[1]
    return text, json.loads(gzip.decompress(base64.b64decode(packed)))


@pytest.mark.slow
def test_page_holds_every_setting_of_its_grid(explorer, tmp_path):
    """Menus and tick boxes have all their values; sliders those that fit, with the present one and both ends."""
    text, data = read(explorer.save_html(tmp_path / "page.html", states=48, progress=False))
    words = {each["name"]: each["words"] for each in data["controls"]}
    assert len(data["states"]) == 48 == len(words["workers"]) * len(words["rate"]) * 4
    assert words["discipline"] == ["fifo", "lifo"]
    assert words["outage"] == ["no", "yes"]
    for name, ends in (("workers", "138"), ("rate", ("5", "20", "50"))):
        assert set(ends) <= set(words[name])
    assert [each["words"][each["start"]] for each in data["controls"]] == ["3", "20", "fifo", "no"]
    assert "<title>Few workers &amp; many requests.</title>" in text
    assert "http" not in re.sub(r"http-equiv", "", text), "the page must not need a network"


@pytest.mark.slow
def test_state_is_the_run_of_its_setting(explorer, tmp_path):
    """Numbers, verdict against the start, what happened when, and a picture."""
    chosen = {"workers": [1, 3], "rate": [20.0], "discipline": ["fifo"], "outage": [False]}
    _, data = read(explorer.save_html(tmp_path / "page.html", "A title", values=chosen, progress=False))
    one, three = data["states"]
    explorer.controls["workers"].value = 1
    assert explorer.numbers["success"] in one["table"]
    assert "points" in one["verdict"]
    assert "no difference from the start" in three["verdict"]
    assert len(one["story"]["words"]) == 120
    picture = Image.open(io.BytesIO(base64.b64decode(one["picture"])))
    assert picture.size == (360, 270)
    assert len(data["panels"][one["panels"]]) == 3


@pytest.mark.slow
def test_preset_is_the_nearest_setting(explorer, tmp_path):
    """With its sentence."""
    _, data = read(explorer.save_html(tmp_path / "page.html", states=64, progress=False))
    (preset,) = data["presets"]
    chosen = [each["words"][index] for each, index in zip(data["controls"], preset["indices"], strict=True)]
    assert chosen == ["1", "50", "fifo", "no"]
    assert preset["says"] == "Most time out."


@pytest.mark.slow
def test_shown_setting_stays(explorer, tmp_path):
    """Saving moves nothing."""
    before = explorer.settings, explorer.numbers, explorer.image.value
    explorer.save_html(tmp_path / "page.html", states=8, progress=False)
    assert (explorer.settings, explorer.numbers, explorer.image.value) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"states": 3}, "states must be >= 4, the number of settings, got 3"),
        ({"states": 0}, "states must be >= 1, got 0"),
        ({"values": {"worker": [1]}}, "values must be of controls, workers, rate, discipline, outage, got 'worker'"),
        ({"values": {"workers": [9]}}, "workers must be from 1 to 8, got 9"),
        ({"values": {"workers": []}}, "values of workers must be at least one"),
    ],
)
def test_impossible_page_is_refused_before_anything_is_played(explorer, tmp_path, options, message):
    """Name, rule and value; no file is left."""
    with pytest.raises(ValueError, match=re.escape(message)):
        explorer.save_html(tmp_path / "page.html", progress=False, **options)
    assert not (tmp_path / "page.html").exists()
