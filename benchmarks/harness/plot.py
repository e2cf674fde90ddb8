"""The throughput of all sides as an SVG, written by hand: no plotting library is needed to look at a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from harness.report import median

ROW, LEFT, WIDTH, TOP = 26, 330, 900, 60  # in pixels
COLOURS = {"floor": "#9aa0a6", "ours": "#1a73e8", "peer": "#e8a33d", "tuned": "#c0562f"}
WORDS = {"floor": "does nothing", "ours": "Scoreline", "peer": "as documented", "tuned": "tuned by hand"}


def draw(results: Mapping[str, Any]) -> str:
    """Draw a bar a side on a logarithmic scale, with its requests/s and its p99."""
    sides = [
        (side, rate, median(results, name, "many_p99") or 0.0)
        for name, side in results["sides"].items()
        if (rate := median(results, name, "many"))
    ]
    height = TOP + ROW * len(sides) + 20
    top = max((rate for _, rate, _ in sides), default=10.0)
    low, high = 1.0, math.ceil(math.log10(max(top, 10.0)))  # from 10 requests/s on
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        '<text x="10" y="20" font-size="15">Requests/s over 16 connections, one record each (logarithmic)</text>',
        *_legend(),
    ]
    for place, (side, rate, p99) in enumerate(sides):
        y = TOP + ROW * place
        length = max(2.0, (math.log10(max(rate, 10.0)) - low) / (high - low) * (WIDTH - LEFT - 170))
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(side["title"])}</text>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{length:.1f}" height="{ROW - 8}" fill="{COLOURS[side["kind"]]}"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{y + 15}">{rate:,.0f} (p99 {p99:.1f} ms)</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend() -> list[str]:
    parts = []
    for place, (kind, colour) in enumerate(COLOURS.items()):
        x = 10 + 130 * place
        parts.append(f'<rect x="{x}" y="32" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="42">{WORDS[kind]}</text>')
    return parts
