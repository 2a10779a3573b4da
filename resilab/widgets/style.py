"""How an explorer looks: one column of controls beside the picture, under it where there is no room."""

from __future__ import annotations

_SHEET = """
.resilab-explorer { container-type: inline-size; overflow: visible; }
.resilab-body { flex-flow: row wrap; gap: 8px 20px; align-items: flex-start; overflow: visible; }
.resilab-controls { flex: 1 1 280px; max-width: 420px; min-width: 230px; gap: 2px; overflow: visible; }
.resilab-picture { flex: 4 1 PICTUREpx; min-width: min(100%, 340px); max-width: WIDESTpx; overflow: visible; }
.resilab-picture img { width: 100%; height: auto; object-fit: contain; display: block; margin: 0; }
.resilab-presets, .resilab-buttons { flex-flow: row wrap; gap: 4px; overflow: visible; }
.resilab-buttons { margin-top: 8px; }
.resilab-chip { border-radius: 14px; }
.resilab-controls .widget-label { text-align: left; white-space: normal; line-height: 1.15; height: auto; }
.resilab-controls .widget-text, .resilab-controls .widget-dropdown { height: auto; align-items: center; }
.resilab-controls .widget-toggle-buttons { flex-flow: column; height: auto; overflow: visible; }
.resilab-controls .widget-toggle-buttons > .widget-label { width: auto; max-width: 100%; }
.resilab-controls .widget-toggle-button { margin: 1px; padding: 0 8px; }
.resilab-controls input[type=number] { text-align: right; }
.resilab-controls .noUi-handle { background: var(--jp-brand-color1, #1976d2); border: 2px solid #fff; }
.resilab-controls .widget-toggle-button.mod-active { background: var(--jp-brand-color1, #1976d2); color: #fff; }
.resilab-verdict, .resilab-message { min-height: 22px; line-height: 1.35; }
.resilab-verdict .widget-html-content, .resilab-message .widget-html-content { line-height: 1.35; }
.resilab-headline { overflow-x: auto; }
.resilab-headline .widget-html-content { line-height: 1.3; }
.resilab-headline table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.resilab-headline th, .resilab-headline td { padding: 1px 6px; text-align: right; font-size: 12px; }
.resilab-headline td { white-space: nowrap; }
.resilab-headline th { font-weight: 500; opacity: .75; }
.resilab-verdict b { filter: var(--resilab-lighten, none); }
.resilab-stale img { opacity: .45; }
.resilab-stale .resilab-verdict, .resilab-stale .resilab-headline { opacity: .5; }
.resilab-other-theme img { filter: invert(.89) hue-rotate(180deg); }
.resilab-dark { --resilab-lighten: brightness(1.9); }
.resilab-cursor { position: absolute; width: 1px; background: #444; pointer-events: none; display: none; }
.resilab-dark .resilab-cursor { background: #ddd; }
.resilab-frame { position: relative; }
.resilab-now button { border: 1px solid #8886; border-radius: 3px; background: none; color: inherit; }
.resilab-now button { min-width: 76px; cursor: pointer; }
.resilab-now { min-height: 24px; align-items: center; font-size: 12px; display: flex; gap: 8px; }
.resilab-following { margin-top: 4px; overflow: visible; }
.resilab-following .widget-html-content { line-height: 1.4; }
.resilab-phases { position: relative; margin: 4px 0; min-width: 300px; }
.resilab-phases span { position: absolute; height: 14px; border-radius: 2px; }
.resilab-phase-words { font-size: 12px; }
.resilab-phase-words i { display: inline-block; width: 12px; height: 10px; margin: 0 4px 0 10px; }
.resilab-strip { height: 5px; margin: 0 16px; border-radius: 3px; }
"""


def sheet(width: float, height: float) -> str:
    """Return the style for a picture of this size in inches."""
    text = _SHEET.replace("PICTURE", f"{min(560, 56 * width):.0f}").replace("WIDEST", f"{170 * width:.0f}")
    return f"<style>{text}</style>"
