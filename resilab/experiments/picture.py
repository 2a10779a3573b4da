"""A small picture for a page that needs no other file: bars with intervals, as SVG."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

WIDTH, LEFT, ROW = 720, 190, 26
COLOUR = "#0072b2"


def bars(rows: Sequence[tuple[str, float, float, float]], title: str) -> str:
    """Return a bar and an interval for each row of name, mean, low and high.

    Example:
        >>> bars([("choice", 0.1, 0.08, 0.12)], "not answered").startswith("<svg")
        True
    """
    top = max([high for *_, high in rows if high == high] + [mean for _, mean, *_ in rows if mean == mean] + [1e-9])
    scale = (WIDTH - LEFT - 90) / top
    height = ROW * (len(rows) + 1) + 6
    parts = [f'<text x="0" y="16" font-weight="bold">{html.escape(title)}</text>']
    for number, (name, mean, low, high) in enumerate(rows, 1):
        y = ROW * number
        end = LEFT + max(0.0, mean) * scale
        parts.append(f'<text x="0" y="{y + 17}">{html.escape(name)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y + 5}" width="{max(0.5, end - LEFT):.1f}" height="15" fill="{COLOUR}"/>')
        if low == low and high == high:
            ends = LEFT + max(0.0, low) * scale, LEFT + max(0.0, high) * scale
            parts.append(f'<path d="M{ends[0]:.1f} {y + 12}H{ends[1]:.1f}" stroke="#222" stroke-width="2"/>')
            end = max(end, ends[1])
        parts.append(f'<text x="{end + 8:.1f}" y="{y + 17}">{mean:.3g}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' font-family="sans-serif" font-size="13">{"".join(parts)}</svg>'
    )


def data_url(svg: str) -> str:
    """Return a picture as an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
