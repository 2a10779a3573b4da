"""The stage draws anew what has changed, and no more."""

from __future__ import annotations

import numpy as np
import pytest

import resilab as rl
from resilab.plots.stage import Stage


class CountingStage(Stage):
    """A stage that counts how often everything is laid out and drawn."""

    full_draws = 0

    def _draw_all(self):
        self.full_draws += 1
        super()._draw_all()


def columns(heights, *, name="line", title=""):
    """Return a plot function: a panel of each height beside the one before, with ticks at its ends and a legend."""

    def plot(figure):
        for ax, height in zip(figure.subplots(1, len(heights)), heights, strict=True):
            ax.plot([0, 1], [0, height], label=name)
            ax.set(ylim=(0, height), yticks=[0, height], ylabel="height", xlabel="time")
            ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.01))
        figure.suptitle(title)

    return plot


def rooms(stage):
    """Return what each axes takes up, its legend included."""
    return [ax.get_tightbbox(stage.canvas.get_renderer()) for ax in stage.axes]


@pytest.mark.slow
def test_only_the_axes_whose_limits_change_are_drawn_anew():
    """The picture is that of a new stage; nothing of the old ticks is left."""
    plain = lambda heights: lambda figure: columns(heights)(figure) or figure.texts.clear()  # noqa: E731
    stage = CountingStage(8, 3, 50)
    stage.render(plain((3, 6, 2)))
    for heights in ((3, 8, 2), (5, 8, 4), (5, 8, 4), (2, 9, 6)):
        assert stage.render(plain(heights)) == Stage(8, 3, 50).render(plain(heights))
    assert stage.full_draws == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"heights": (3_000_000, 6, 2)},
        {"heights": (3, 6, 2), "name": "a line with a name"},
        {"heights": (3, 6, 2), "title": "title"},
        {"heights": (3, 8, 2), "title": "title"},
    ],
    ids=["wider ticks", "longer legend", "title", "title and limits"],
)
def test_what_needs_more_room_is_laid_out_anew(change):
    """Then nothing lies over anything else or outside the picture, there and back."""
    stage = CountingStage(9, 3, 50)
    stage.render(columns((3, 6, 2)))
    for count, plot in ((2, columns(**change)), (3, columns((3, 6, 2)))):
        stage.render(plot)
        taken = rooms(stage)
        assert not any(one.overlaps(other) for number, one in enumerate(taken) for other in taken[:number])
        assert min(room.x0 for room in taken) >= 0
        assert max(room.x1 for room in taken) <= stage.bbox.x1
        if count == 2:
            assert stage.full_draws == 2


def test_axes_over_others_are_drawn_together():
    """Where one axes lies over another, both are drawn anew."""

    def plot(height):
        def draw(figure):
            for place in (1, 2):
                figure.add_subplot(1, 1, 1, label=str(place)).plot([0, 1], [0, height * place])

        return draw

    stage = CountingStage(4, 3, 50)
    stage.render(plot(1))
    stage.render(plot(2))
    assert stage.full_draws == 2


@pytest.mark.slow
def test_moves_of_an_explorer_seldom_need_a_new_layout():
    """The axes of an overview change where they are, as long as their numbers have no more digits."""
    service = rl.Service(workers=3, latency=rl.Exponential(mean=0.1), queue_limit=20)
    stage, whole = CountingStage(8, 5, 60), CountingStage(8, 5, 60)
    limits = set()
    for rate in (30, 33, 36, 39):
        run = rl.simulate(rl.Scenario(rl.Poisson(rate), service, duration=12.0), 1)
        plot = lambda figure, run=run: rl.plots.overview(run, figure)  # noqa: E731
        stage.render(plot)
        whole._background = None
        whole.render(plot)
        limits.add(tuple(ax.get_ylim() for ax in stage.axes))
    assert len(limits) > 1
    assert stage.full_draws <= 2
    assert whole.full_draws == 4
    for one, other in zip(stage.axes, whole.axes, strict=True):
        assert np.abs(one.bbox.extents - other.bbox.extents).max() < 6, "a panel moved"


def test_bars_of_before_are_gone_from_the_legend():
    """Bars and error bars are kept in containers too, of which a legend reads its entries."""
    stage = Stage(4, 3, dpi=50)

    def bars(figure):
        ax = figure.subplots()
        ax.bar([0, 1], [1, 2], label="orders")
        ax.legend()

    for _ in range(5):
        stage.render(bars)
    (ax,) = stage.axes
    assert len(ax.containers) == 1
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["orders"]
