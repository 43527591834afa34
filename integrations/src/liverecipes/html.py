"""The page around a report: its style sheet, light and dark, and its frame. No scripts, nothing from outside."""

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5d6b7a; --paper: #fbfaf7; --card: #ffffff; --line: #dfe3e6;
  --data: #1f6f8b; --alarm: #c8372d; --other: #b9770e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #97a3af; --paper: #12171c; --card: #1a2128;
  --line: #2e3841; --data: #5cb8d6; --alarm: #ff7468; --other: #e5b04a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 880px; margin: 0 auto; padding: 24px 16px 64px; }
header p { color: var(--soft); }
h1 { font-size: clamp(1.35rem, 4.2vw, 2rem); line-height: 1.25; font-weight: 650; margin: .4em 0; text-wrap: pretty; }
h2 { font-size: 1.15rem; margin: 0 0 .3em; } h3 { font-size: 1rem; margin: 1.2em 0 .3em; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px; margin: 16px 0; }
section > p { color: var(--soft); margin: .2em 0 .8em; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); gap: 12px; }
.facts b { display: block; font-size: 1.15rem; overflow-wrap: anywhere; }
.facts span { color: var(--soft); font-size: .85rem; }
.table { overflow-x: auto; } .plot svg { width: 100%; display: block; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; min-width: 60%; }
th, td { text-align: left; padding: 4px 18px 4px 0; border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
th { color: var(--soft); font-weight: 500; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--paper); padding: 10px; border-radius: 6px; }
svg text { fill: var(--soft); font: 13px system-ui, sans-serif; }
svg path { fill: none; } .axis, .tick { stroke: var(--soft); } .grid { stroke: var(--line); }
.series { stroke: var(--data); stroke-opacity: .45; } .center { stroke: var(--ink); stroke-width: 1.6; }
.limit { stroke: var(--soft); stroke-dasharray: 4 4; } .band { fill: var(--data); opacity: .1; }
.dot { fill: var(--data); } .dot.learning { fill: var(--card); stroke: var(--data); } .dot.out { fill: var(--alarm); }
.alarm-line { stroke: var(--alarm); stroke-width: 1.5; } .recent { fill: var(--alarm); opacity: .55; }
.heat, .bar { fill: var(--data); } .sampled { fill: var(--card); stroke: var(--other); stroke-width: 2; }
@media (max-width: 600px) { svg text { font-size: 20px; } }
.before, .after { opacity: .6; } .before { fill: var(--data); } .after { fill: var(--other); }
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<header><p>{source}</p><h1>{headline}</h1><p>{detail}</p></header>
{sections}
</main>
</body>
</html>
"""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of plain text cells."""
    head = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table"><table>{f"<tr>{head}</tr>" if any(heads) else ""}{body}</table></div>'
