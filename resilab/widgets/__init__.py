"""The explorer: sliders, a picture and headline numbers, in a notebook."""

from .controls import Slider
from .explorer import Explorer, explore

__all__ = ["Explorer", "Slider", "explore"]
