"""An explorer as one file that needs no server, no network and no Python: its states are played before."""

from __future__ import annotations

import base64
import gzip
import html
import io
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets
from PIL import Image
from tqdm.auto import tqdm

from .controls import Control
from .front import SCRIPT
from .panels import story_of
from .presets import Preset
from .studio import Drawing
from .style import sheet
from .verdict import changes, table, verdict_line

PAGE_SCRIPT = Path(__file__).with_name("page.js")
DPI = 90
_MOST_ON_A_SLIDER = 9
_COLOURS = 96

_STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 0 auto; padding: 12px 20px; max-width: 1700px; }
h1 { font-size: 20px; margin: 4px 0 12px; }
.resilab-body { display: flex; }
.row { display: grid; grid-template-columns: 1fr auto; gap: 2px 8px; margin: 8px 0; align-items: center; }
.row input[type=range] { grid-column: 1 / 3; width: 100%; margin: 0; }
.row input[type=checkbox] { justify-self: start; grid-column: 1; grid-row: 1; }
.row input[type=checkbox] + label { grid-column: 1; grid-row: 1; margin-left: 24px; }
button { font: inherit; padding: 3px 12px; border: 1px solid #8886; border-radius: 4px; background: none; }
button { color: inherit; cursor: pointer; }
.chip { border-radius: 14px; }
#says { font-style: italic; }
footer { opacity: .7; font-size: 12px; margin-top: 12px; }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>@TITLE@</title><style>@STYLE@</style></head>
<body><h1>@TITLE@</h1>
<div class="resilab-explorer" id="explorer"><div class="resilab-body">
<div class="resilab-controls"><div class="resilab-presets" id="presets"></div><div id="controls"></div>
<div class="resilab-buttons"><button type="button" id="reset">Reset</button>
<button type="button" id="copy">Copy address</button></div></div>
<div class="resilab-picture"><div id="says" role="status"></div><div class="resilab-verdict" id="verdict"></div>
<div class="resilab-headline" id="headline"></div>
<div class="resilab-frame" id="frame"><img id="image" alt=""></div></div>
</div></div>
<footer>@FOOTER@</footer>
<script type="text/plain" id="data">@DATA@</script>
<script type="module">
@SCRIPT@
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.getElementById("explorer").classList.toggle("resilab-dark", dark.matches);
dark.addEventListener("change", follow);
follow();
</script></body></html>
"""


@dataclass(frozen=True)
class Choice:
    """The values of one control on the page.

    Attributes:
        control: The control.
        values: Its values on the page.
        words: What is shown for each.
        start: The number of the value that the page starts with.
    """

    control: Control
    values: Sequence[Any]
    words: Sequence[str]
    start: int

    @property
    def kind(self) -> str:
        """What the page makes of it: "box", "menu" or "slider"."""
        if isinstance(self.control.input, ipywidgets.Checkbox):
            return "box"
        return "menu" if hasattr(self.control.input, "options") else "slider"

    def nearest(self, value: Any) -> int:
        """Return the number of the value that is nearest."""
        if self.kind == "slider":
            return min(range(len(self.values)), key=lambda index: abs(self.values[index] - value))
        return next(index for index, each in enumerate(self.values) if each is value or each == value)


def choose(controls: Iterable[Control], wanted: Mapping[str, Sequence[Any]], most: int) -> list[Choice]:
    """Return values for each control, at most *most* settings in all.

    Args:
        controls: The controls of the explorer.
        wanted: Values by name, instead of those that are spread evenly.
        most: Settings in all.

    Raises:
        ValueError: A value or a name is impossible, or the menus alone have more settings.
    """
    controls = list(controls)
    names = [control.name for control in controls]
    for name in wanted:
        if name not in names:
            raise ValueError(f"values must be of controls, {', '.join(names)}, got {name!r}")
    counts = [_count(control, wanted) for control in controls]
    while math.prod(counts) > most:
        sliders = [index for index, each in enumerate(controls) if hasattr(each, "_slider") and each.name not in wanted]
        widest = max(sliders, key=lambda index: counts[index], default=None)
        if widest is None or counts[widest] == 1:
            raise ValueError(f"states must be >= {math.prod(counts)}, the number of settings, got {most}")
        counts[widest] -= 1
    return [_choice(control, wanted.get(control.name), count) for control, count in zip(controls, counts, strict=True)]


def _count(control: Control, wanted: Mapping[str, Sequence[Any]]) -> int:
    if control.name in wanted:
        return len(wanted[control.name])
    if hasattr(control, "_slider"):
        return min(_MOST_ON_A_SLIDER, _steps(control._slider) + 1)
    return 2 if isinstance(control.input, ipywidgets.Checkbox) else len(control.input.options)


def _choice(control: Control, wanted: Sequence[Any] | None, count: int) -> Choice:
    now = control.value
    if wanted is not None:
        values = [control.check(value) for value in wanted]
        if not values:
            raise ValueError(f"values of {control.name} must be at least one, got {wanted!r}")
    elif hasattr(control, "_slider"):
        values = _spread(control._slider, count, now)
    elif isinstance(control.input, ipywidgets.Checkbox):
        values = [False, True]
    else:
        values = [value for _, value in control.input.options]
    if isinstance(control.input, ipywidgets.Checkbox):
        words = ["yes" if value else "no" for value in values]
    elif hasattr(control.input, "options"):
        words = [
            next(str(word) for word, each in control.input.options if each is value or each == value)
            for value in values
        ]
    else:
        words = [f"{value:g}" for value in values]
    choice = Choice(control, values, words, 0)
    is_known = hasattr(control, "_slider") or any(now is value or now == value for value in values)
    return Choice(control, values, words, choice.nearest(now) if is_known else 0)


def _steps(slider: Any) -> int:
    steps: int = round((slider.high - slider.low) / slider.step)
    return steps


def _spread(slider: Any, count: int, now: Any) -> list[Any]:
    """Return *count* values on the slider's steps, from end to end, with the present one among them."""
    if count == 1:
        return [now]
    steps = _steps(slider)
    chosen = sorted({round(index * steps / (count - 1)) for index in range(count)})
    here = round((now - slider.low) / slider.step)
    inner = range(1, len(chosen) - 1) if len(chosen) > 2 else range(len(chosen))
    if here not in chosen:
        chosen[min(inner, key=lambda index: abs(chosen[index] - here))] = here
    is_whole = isinstance(now, int)
    return [
        slider.low + step * slider.step if is_whole else float(f"{slider.low + step * slider.step:.12g}")
        for step in sorted(set(chosen))
    ]


def settings_of(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """Return every setting of the page, the last control fastest."""
    names = [choice.control.name for choice in choices]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(each.values for each in choices))]


def states_of(
    choices: Sequence[Choice],
    play: Callable[[dict[str, Any]], tuple[Any, dict[str, str], Drawing]],
    *,
    progress: bool,
) -> list[dict[str, Any]]:
    """Return every setting of the page as it shows it, in the order of `settings_of`.

    Args:
        choices: The values of the controls.
        play: Returns run, headline numbers and drawing of a setting.
        progress: Whether to show a bar.
    """
    _, start, _ = play({choice.control.name: choice.values[choice.start] for choice in choices})
    made = []
    for settings in tqdm(settings_of(choices), desc="settings", disable=not progress):
        result, numbers, drawing = play(settings)
        made.append(
            {
                "picture": shrink(drawing.png),
                "alt": drawing.words,
                "table": table(numbers, {}),
                "verdict": verdict_line(changes(numbers, start), "start"),
                "panels": drawing.panels,
                "story": story_of(result),
            }
        )
    return made


def write_page(
    path: str | Path,
    title: str,
    footer: str,
    size: tuple[float, float],
    choices: Sequence[Choice],
    presets: Iterable[Preset],
    states: Sequence[dict[str, Any]],
) -> Path:
    """Write the file; *states* are in the order of `settings_of`."""
    panels: list[Any] = []
    for state in states:
        if state["panels"] not in panels:
            panels.append(state["panels"])
        state["panels"] = panels.index(state["panels"])
    data = {
        "controls": [
            {
                "name": each.control.name,
                "label": getattr(each.control, "box", each.control.input).description,
                "kind": each.kind,
                "words": list(each.words),
                "start": each.start,
            }
            for each in choices
        ],
        "panels": panels,
        "presets": [
            {
                "name": preset.name,
                "says": preset.says,
                "indices": [
                    each.nearest(preset.settings[each.control.name])
                    if each.control.name in preset.settings
                    else each.start
                    for each in choices
                ],
            }
            for preset in presets
        ],
        "states": states,
    }
    packed = base64.b64encode(gzip.compress(json.dumps(data).encode(), mtime=0)).decode()
    text = _PAGE
    for word, value in (
        ("@TITLE@", html.escape(title)),
        ("@STYLE@", _STYLE + sheet(*size).removeprefix("<style>").removesuffix("</style>")),
        ("@FOOTER@", html.escape(footer)),
        ("@SCRIPT@", SCRIPT.read_text(encoding="utf-8") + PAGE_SCRIPT.read_text(encoding="utf-8")),
        ("@DATA@", packed),
    ):
        text = text.replace(word, value)
    path = Path(path)
    path.write_text(text, encoding="utf-8")
    return path


def shrink(png: bytes) -> str:
    """Return a picture of few colours as WebP without loss, in base64: a third of the PNG."""
    picture = (
        Image.open(io.BytesIO(png))
        .convert("RGB")
        .quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "WEBP", lossless=True, quality=60, method=4)
    return base64.b64encode(stream.getvalue()).decode()
