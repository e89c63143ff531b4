#!/usr/bin/env python3
"""Draws what bench/overload.py has measured: goodput over offered load, one curve for each report.

    bench/overload_chart.py docs/overload.svg "towel, UDP=towel-udp.json" "Kamailio, UDP=kamailio-udp.json"
"""
import json, math, sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 340, 60, 20, 20, 70
COLOURS = ["#0b62a4", "#c8500a", "#3a8a3a", "#8a3a8a"]
out, curves = sys.argv[1], []
for argument in sys.argv[2:]:
    name, path = argument.split("=", 1)
    with open(path) as file:
        steps = json.load(file)["steps"]
    curves.append((name, sorted((step["rate"], step["goodput"]) for step in steps)))
offered = [x for _, curve in curves for x, _ in curve]
most = 500 * math.ceil(max(y for _, curve in curves for _, y in curve) / 500)
low, high = math.log(min(offered)), math.log(max(offered))


def across(rate):
    return LEFT + (WIDTH - LEFT - RIGHT) * (math.log(rate) - low) / (high - low)


def down(goodput):
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * goodput / most


svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
       'aria-label="Goodput over offered load"><style>text{font:11px sans-serif;fill:#222}.g{stroke:#8884}</style>'
       '<rect width="100%" height="100%" fill="#fff"/>']
for goodput in range(0, most + 1, 500):
    y = down(goodput)
    svg.append(f'<line class="g" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
               f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{goodput}</text>')
for rate in sorted(set(offered)):
    x = across(rate)
    svg.append(f'<line class="g" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"/>'
               f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{rate:.0f}</text>')
svg.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - BOTTOM + 34}" text-anchor="middle">'
           'calls a second that are offered; upwards those that end well</text>')
for number, (name, curve) in enumerate(curves):
    colour = COLOURS[number % len(COLOURS)]
    points = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in curve)
    svg.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"'
               + (' stroke-dasharray="6 4"' if number % 2 else "") + "/>")
    svg += [f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3" fill="{colour}"/>' for x, y in curve]
    x = LEFT + 160 * number
    svg.append(f'<line x1="{x}" y1="{HEIGHT - 18}" x2="{x + 24}" y2="{HEIGHT - 18}" stroke="{colour}" '
               'stroke-width="2"' + (' stroke-dasharray="6 4"' if number % 2 else "") + "/>"
               f'<text x="{x + 30}" y="{HEIGHT - 14}">{name}</text>')
with open(out, "w") as file:
    file.write("\n".join(svg) + "\n</svg>\n")
