"""Draws bars as SVG, once for light pages and once for dark ones."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple


class Bar(NamedTuple):
    """One bar; ours stands out."""

    name: str
    value: float
    is_ours: bool = False


class _Theme(NamedTuple):
    surface: str
    ink: str
    faint: str
    ours: str
    others: str


_THEMES: Final = {
    "light": _Theme("#ffffff", "#1f2328", "#59636e", "#0b7285", "#adb5bd"),
    "dark": _Theme("#0d1117", "#e6edf3", "#9198a1", "#3bc9db", "#545d68"),
}
_WIDTH: Final = 760
_NAMES: Final = 240
_FIGURES: Final = 90
_ROW: Final = 30
_THICKNESS: Final = 18
_TOP: Final = 66
_FONT: Final = "font-family='system-ui, -apple-system, Segoe UI, sans-serif'"


def draw(folder: Path, name: str, title: str, subtitle: str, bars: Sequence[Bar]) -> None:
    """Write `NAME-light.svg` and `NAME-dark.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    for theme_name, theme in _THEMES.items():
        file = folder / f"{name}-{theme_name}.svg"
        file.write_text(_chart(title, subtitle, bars, theme), encoding="utf-8")


def picture(folder: str, name: str, text: str) -> str:
    """Return the HTML that shows the drawing of the reader's colours."""
    dark, light = (f"{folder}/{name}-{theme}.svg" for theme in ("dark", "light"))
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(text)}"></picture>'
    )


def _chart(title: str, subtitle: str, bars: Sequence[Bar], theme: _Theme) -> str:
    height = _TOP + _ROW * len(bars) + 14
    longest = max((bar.value for bar in bars), default=1.0) or 1.0
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}' width='{_WIDTH}'"
        f" height='{height}' role='img' {_FONT}>",
        f"<title>{escape(title)}: {escape(subtitle)}</title>",
        f"<rect width='{_WIDTH}' height='{height}' rx='8' fill='{theme.surface}'/>",
        f"<text x='20' y='30' font-size='16' font-weight='600' fill='{theme.ink}'>{escape(title)}</text>",
        f"<text x='20' y='50' font-size='12' fill='{theme.faint}'>{escape(subtitle)}</text>",
    ]
    for number, bar in enumerate(bars):
        parts += _bar(bar, _TOP + _ROW * number, longest, theme)
    return "\n".join([*parts, "</svg>\n"])


def _bar(bar: Bar, y: int, longest: float, theme: _Theme) -> list[str]:
    width = max(2.0, bar.value / longest * (_WIDTH - _NAMES - _FIGURES - 20))
    colour = theme.ours if bar.is_ours else theme.others
    weight = " font-weight='600'" if bar.is_ours else ""
    middle = y + _THICKNESS / 2 + 4
    return [
        f"<text x='{_NAMES - 10}' y='{middle}' font-size='12' text-anchor='end' fill='{theme.ink}'{weight}>"
        f"{escape(bar.name)}</text>",
        f"<rect x='{_NAMES}' y='{y}' width='{width:.1f}' height='{_THICKNESS}' rx='3' fill='{colour}'/>",
        f"<text x='{_NAMES + width + 8:.1f}' y='{middle}' font-size='12' fill='{theme.ink}'{weight}>"
        f"{bar.value:,.0f}</text>",
    ]
