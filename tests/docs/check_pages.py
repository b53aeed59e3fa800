#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the site that `make site` made, and the Markdown that it was made from.

    check_pages.py TOP HTML [show]

Prints a line for each fault, and "N checked" for what was looked at; with "show" also how long the
sentences of each page are. Of the site: every link and fragment leads somewhere, every drawing can
be read, no page needs the network, every page and the answer to each usual question is reached in
three clicks from the first page, and the search knows the words that readers look for. Of the man
pages: what they refer to is there. Of the Markdown: lists of contents are complete, figures that
stand in several places agree, sentences are short.
"""

import glob
import json
import os
import re
import sys
from html.parser import HTMLParser
from urllib.parse import unquote
from xml.etree import ElementTree

CLICKS = 3
# Stems of words that a reader looks for, and a page that must be found by each.
SEARCHED = {"kill": "process-death", "euclean": "reference/errors", "hold": "pins",
            "licenc": "faq", "memfd": "glossary", "worker": "tutorial", "debug": "faq"}
# Questions of new readers: the page that answers, and what it says.
QUESTIONS = (
    ("How do I share it between workers?", "tutorial.html", "Step 2: a pool of workers"),
    ("What if a worker is killed?", "process-death.html", "If workers may die"),
    ("Who gives memory back, and when?", "who-purges.html", "the kernel never purges"),
    ("Which threads may call what?", "faq.html", "Any thread may make any call"),
    ("What is the licence?", "faq.html", "MIT: use it in anything"),
    ("Pin or hold?", "pins.html", "Which one"),
    ("Is there a ready cache?", "cache.html", "A pool of workers"),
    ("What does it cost?", "performance.html", "The short answer"),
    ("What is -EUCLEAN?", "reference/errors.html", "-EUCLEAN"),
    ("What if there is no memfd?", "faq.html", "There is no memfd"),
    ("How do I debug it?", "faq.html", "ASHMEM_DEBUG=purge-on-unpin,trap-unpinned"),
)
# Words a sentence, on the average of a page.
SENTENCE = 20

# Figures that stand in several places: a pattern, and what it must catch wherever it stands.
FIGURES = (
    (r"\b(?:a|the|about a|1/)\s*(4\d|5\d|6\d)(?:th|\.\d)?\s+(?:of|more than) (?:the|its)? ?"
     r"(?:area's size|data|size)", {"60"}),
    (r"control block[^.|]{0,60}?\ba(?:bout a)? (\d+)th", {"60"}),
    (r"(\d+) ns with one unpinned range", {"30"}),
    (r"pin and an unpin (?:of a range )?together take (?:about )?(\d+) ns", {"30"}),
    (r"(\d+) to \d+ bytes for an unpinned range|each range takes (\d+) to \d+ bytes", {"21"}),
    (r"(\d+) KiB\s+are enough for every call", {"64"}),
    (r"pieces of (\d+) MiB \(with 4 KiB pages\)", {"2"}),
    (r"Linux (4\.\d+) and later", {"4.14"}),
    (r"(?:for|longer than|after) (five|four|six|ten) seconds", {"five"}),
)


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.loads, self.ids = [], [], set()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if values.get("id"):
            self.ids.add(values["id"])
        if tag == "a" and values.get("name"):
            self.ids.add(values["name"])
        if tag == "a" and values.get("href") is not None:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") == "stylesheet":
            self.loads.append(values["href"])
        elif tag in ("script", "img", "object", "source", "iframe"):
            self.loads.append(values.get("src") or values.get("data") or "")


class Checks:
    def __init__(self):
        self.count = self.faults = 0

    def check(self, good, text):
        self.count += 1
        if not good:
            self.faults += 1
            print("FAIL: " + text)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def is_xml(path):
    try:
        ElementTree.parse(path)
    except ElementTree.ParseError:
        return False
    return True


def site(top, checks):
    pages = {}
    for folder, _, names in os.walk(top):
        for name in names:
            if name.endswith(".html"):
                path = os.path.relpath(os.path.join(folder, name), top)
                pages[path] = Page()
                pages[path].feed(read(os.path.join(folder, name)))
            elif name.endswith(".svg"):
                checks.check(is_xml(os.path.join(folder, name)), name + " is no drawing: bad XML")
    neighbours = {}
    for path, page in sorted(pages.items()):
        neighbours[path] = set()
        for load in page.loads:
            where = os.path.normpath(os.path.join(os.path.dirname(path), load.split("?")[0]))
            checks.check(not load or not re.match(r"[a-z]+:|//", load), "%s loads %s from elsewhere"
                         % (path, load))
            checks.check(not load or os.path.exists(os.path.join(top, where)),
                         "%s loads %s, which is not there" % (path, load))
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            address, _, fragment = link.partition("#")
            where = path
            if address:
                where = os.path.normpath(os.path.join(os.path.dirname(path), unquote(address)))
            known = where in pages or os.path.exists(os.path.join(top, where))
            checks.check(known, "%s links to %s, which is not there" % (path, link))
            if where in pages:
                neighbours[path].add(where)
                checks.check(not fragment or unquote(fragment) in pages[where].ids,
                             "%s links to %s, which has no such place" % (path, link))
    distance, front = {"index.html": 0}, ["index.html"]
    while front:
        path = front.pop(0)
        for other in sorted(neighbours[path]):
            if other not in distance:
                distance[other] = distance[path] + 1
                front.append(other)
    for path in sorted(pages):
        checks.check(distance.get(path, 99) <= CLICKS,
                     "%s takes %s clicks from the first page" % (path, distance.get(path)))
    for question, path, answer in QUESTIONS:
        text = re.sub(r"<[^>]*>", "", read(os.path.join(top, path)))
        checks.check(answer in text and distance.get(path, 99) < CLICKS,
                     "%s is not answered by %s" % (question, path))
    index = json.loads(re.search(r"\((.*)\)", read(os.path.join(top, "searchindex.js")),
                                 re.S).group(1))
    for word, page in SEARCHED.items():
        found = set()
        for terms in (index["terms"], index["titleterms"]):
            numbers = terms.get(word, [])
            found |= {index["docnames"][n] for n in (
                numbers if isinstance(numbers, list) else [numbers])}
        checks.check(page in found, "the search does not find %s by %s" % (page, word))


def man(directory, top, checks):
    """References between man pages: made from the headers, and of the programs."""
    pages = []
    for folder, _, names in os.walk(directory):
        pages += [os.path.join(folder, n) for n in names]
    for folder in ("tools", "daemon", "compat/run"):
        pages += glob.glob(os.path.join(top, folder, "*.[1-8]"))
    there = {os.path.basename(p) for p in pages}
    for path in pages:
        for name, section in re.findall(r"((?:lib)?ashmem[\w-]*)(?:\\fP| )\((\d)\)",
                                        read(path).replace("\\-", "-")):
            checks.check("%s.%s" % (name, section) in there, "%s refers to %s(%s)" % (
                os.path.basename(path), name, section))


def slug(title):
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def prose(text):
    """The sentences of a Markdown page, without code, tables and headings."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)
    text = re.sub(r"^(\||#|!\[|    ).*$", "", text, flags=re.M)
    text = re.sub(r"^- \[[^\]]*\]\(#[^)]*\)$", "", text, flags=re.M)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    # A bullet and a paragraph end a sentence.
    text = re.sub(r"^ *(?:[-*]|\d+\.) ", "\n\n", text, flags=re.M)
    sentences = []
    for part in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"(?<=[.!?])[\"*)\]_]*\s+", " ".join(part.split())):
            words = re.findall(r"[A-Za-z0-9`_<][^\s]*", sentence)
            if len(words) > 2:
                sentences.append((len(words), sentence))
    return sentences


def markdown(top, checks, show):
    docs = os.path.join(top, "docs")
    paths = [os.path.join(top, n) for n in os.listdir(top) if n.endswith(".md")]
    paths += [os.path.join(docs, n) for n in os.listdir(docs) if n.endswith(".md")]
    for path in sorted(paths):
        name = os.path.relpath(path, top)
        text = read(path)
        without_code = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        titles = re.findall(r"^## (.*)$", without_code, re.M)
        listed = re.findall(r"^- \[[^\]]*\]\(#([^)]*)\)", without_code, re.M)
        if len(listed) > 2:
            for title in titles:
                checks.check(slug(title) in listed,
                             "%s: the contents lack \"%s\"" % (name, title))
        sentences = prose(text)
        if len(sentences) > 10:
            mean = sum(n for n, _ in sentences) / len(sentences)
            if show:
                print("%-28s %5.1f words a sentence, longest %d" % (
                    name, mean, max(n for n, _ in sentences)))
            checks.check(mean <= SENTENCE, "%s has %.1f words a sentence" % (name, mean))
        flat = " ".join(text.split())
        for pattern, right in FIGURES:
            for match in re.finditer(pattern, flat):
                figure = next(g for g in match.groups() if g)
                checks.check(figure in right, "%s says \"%s\", others %s" % (
                    name, match.group(0), ", ".join(sorted(right))))


def main():
    top, html = sys.argv[1:3]
    checks = Checks()
    site(html, checks)
    man(os.path.join(html, "..", "man"), top, checks)
    markdown(top, checks, len(sys.argv) > 3)
    print("%d checked" % checks.count)
    return 1 if checks.faults else 0


if __name__ == "__main__":
    sys.exit(main())
