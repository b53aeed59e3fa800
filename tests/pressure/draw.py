#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Writes docs/pressure.md's tables and docs/pressure.svg from the last `make check-pressure`.

    draw.py BUILD DOCS

A row of a run replaces that of the same limit and case; rows that were not run stay, each says how
many runs it is of. The picture is the free memory of one run of each of some bursts; it stays
unless all of them were run.
"""
import os
import re
import sys

SHOWN = (
    ("burst-foreign", "taken by another process", "#0072b2"),
    ("burst-not-urgent", "a watch without priority", "#d55e00"),
    ("burst-own-room", "after make_room()", "#009e73"),
    ("burst-stopped", "the owner is stopped: killed", "#777"),
)
LIMITS = ("v1", "max", "high", "guest")
WIDTH, HEIGHT, LEFT, TOP, WIDE, HIGH = 960, 420, 64, 48, 860, 300


def rows_of(text):
    """The rows of each kind of table: {heading: {(limit, case): line}}."""
    tables, heading = {}, None
    for line in text.splitlines():
        words = line.split()
        if line.startswith("limit "):
            heading = line.rstrip()
            tables.setdefault(heading, {})
        elif heading and len(words) > 3 and words[0] in LIMITS and \
                words[2].isdigit():
            tables[heading][words[0], words[1]] = line.rstrip()
    return tables


def replaced(page, tables, largest):
    """The page with its tables' rows replaced, and new ones after those of their limit."""
    for line in largest:
        page = re.sub(r"(?m)^" + line.split()[0] + " +largest burst .*$", line, page)
    for heading, rows in tables.items():
        block = re.search(r"```\n" + re.escape(heading) + r"\n.*?```\n", page, re.S)
        if not block:
            sys.exit("docs/pressure.md has no table: " + heading)
        known = rows_of(block.group())[heading]
        known.update(rows)
        ordered = [known[key] for key in sorted(known, key=lambda key: LIMITS.index(key[0]))]
        text = "```\n" + "\n".join([heading, *ordered]) + "\n```\n"
        page = page[:block.start()] + text + page[block.end():]
    return page


def traces(path):
    """{case: [(milliseconds, MiB)]}; guests write none."""
    cases = {}
    if not os.path.exists(path):
        return cases
    with open(path, encoding="ascii") as file:
        for line in file:
            case, time, free = line.split()
            cases.setdefault(case, []).append((float(time), float(free)))
    return cases


def label(x, y, text, anchor="start", kind="note"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def picture(cases):
    most = 160.0
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="12"'
        ' font-family="system-ui, sans-serif" fill="#222">',
        "<title>Free memory during a burst</title>",
        "<style>.heading{font-size:14px;font-weight:600}.note{font-size:11px;fill:#555}",
        "@media (prefers-color-scheme:dark){svg{fill:#e3e6ea}.note{fill:#a3adb9}",
        '.page{fill:#14171c}[stroke="#ddd"]{stroke:#363c46}}</style>',
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        label(LEFT, 30, "MiB free of 96, while 60 are taken beside a cache of 60", kind="heading"),
    ]
    for mib in range(0, 41, 8):
        y = TOP + HIGH - mib * HIGH / 40
        out += [f'<path stroke="#ddd" d="M{LEFT} {y:.1f} h{WIDE}"/>',
                label(LEFT - 8, y + 4, mib, "end")]
    for ms in range(0, int(most) + 1, 20):
        out.append(label(LEFT + ms * WIDE / most, TOP + HIGH + 18, ms, "middle"))
    out.append(label(LEFT + WIDE, TOP + HIGH + 34, "milliseconds since the burst began", "end"))
    for i, (case, text, color) in enumerate(SHOWN):
        points = [p for p in cases.get(case, []) if p[0] <= most]
        if not points:
            continue
        line = " L".join(f"{LEFT + t * WIDE / most:.1f} {TOP + HIGH - min(f, 40) * HIGH / 40:.1f}"
                         for t, f in points)
        x = LEFT + i * 215
        out += [f'<path fill="none" stroke="{color}" stroke-width="1.5" d="M{line}"/>',
                f'<path stroke="{color}" stroke-width="3" d="M{x} {HEIGHT - 16} h18"/>',
                label(x + 24, HEIGHT - 12, text)]
    return "\n".join(out) + "\n</svg>\n"


def main():
    build, docs = sys.argv[1:]
    tables, largest = {}, []
    for name in ("v1", "debian13-cgroup", "debian13-guest", "debian12-cgroup", "debian12-guest"):
        path = os.path.join(build, "pressure", name)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                log = file.read()
            largest += re.findall(r"(?m)^\w+ +largest burst .*$", log)
            for heading, rows in rows_of(log).items():
                tables.setdefault(heading, {}).update(rows)
    page = os.path.join(docs, "pressure.md")
    with open(page, encoding="utf-8") as file:
        text = replaced(file.read(), tables, largest)
    with open(page, "w", encoding="utf-8") as file:
        file.write(text)
    cases = traces(os.path.join(build, "pressure", "trace"))
    if all(case in cases for case, _, _ in SHOWN):
        with open(os.path.join(docs, "pressure.svg"), "w", encoding="utf-8") as file:
            file.write(picture(cases))


if __name__ == "__main__":
    main()
