"""Pictures for a dark page."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from resilab.plots.dark import darken
from resilab.plots.stage import Stage
from resilab.plots.style import INK, OUTCOME_COLOURS, lightness


def seen(colour):
    """The colour that a dark page shows instead, as #rrggbb."""
    pixel = np.array([[[round(255 * part) for part in mpl.colors.to_rgb(colour)] + [255]]], np.uint8)
    return mpl.colors.to_hex(darken(pixel)[0, 0, :3] / 255)


def hue(colour):
    """From 0 to 1."""
    return mpl.colors.rgb_to_hsv(mpl.colors.to_rgb(colour))[0]


def test_paper_and_ink_change_places():
    """White is nearly black, and text is light."""
    assert lightness(seen("#ffffff")) < 15
    assert lightness(seen(INK)) > 75


@pytest.mark.parametrize("outcome", OUTCOME_COLOURS)
def test_outcome_keeps_its_hue_and_can_be_seen(outcome):
    """Green is success there, too; a colour too dark for the page becomes a light one."""
    colour = seen(OUTCOME_COLOURS[outcome])
    assert hue(colour) == pytest.approx(hue(OUTCOME_COLOURS[outcome]), abs=0.04)
    assert lightness(colour) > lightness(seen("#ffffff")) + 25


def test_stage_for_a_dark_page_has_the_same_shape():
    """Only the colours differ."""
    pictures = []
    for is_dark in (False, True):
        png = Stage(3, 2, 50, is_dark).render(lambda figure: figure.subplots().plot([0, 1], [0, 1]))
        pictures.append(np.asarray(Image.open(io.BytesIO(png))))
    light, dark = pictures
    assert light.shape == dark.shape
    assert (darken(light) == dark).all()
    assert light.mean() > 200
    assert dark[..., :3].mean() < 60
