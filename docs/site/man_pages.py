# SPDX-License-Identifier: MIT
"""Makes the man pages out of Doxygen's XML:

    man_pages.py TOP XML DIRECTORY

libashmem(7), a page of section 7 for each group of functions, and one of section 3 for each
function. The variables of ENVIRONMENT come from docs/environment.md, and an example from the
headers, docs/guide.md, docs/tutorial.md or README.md. `make check-docs` lints every page.
"""

import datetime
import itertools
import os
import re
import subprocess
import sys

from headers import Headers, plain

WIDTH = 78
EXAMPLE_LINES = 100


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def date(top):
    """The day of the last change of what the pages say: the same for every build of a source."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        asked = subprocess.run(["git", "-C", top, "log", "-1", "--format=%ct", "--", "include",
                                "docs"], capture_output=True, text=True)
        epoch = asked.stdout.strip()
    if not epoch:
        include = os.path.join(top, "include", "ashmem")
        epoch = max(os.stat(os.path.join(include, n)).st_mtime for n in os.listdir(include))
    day = datetime.datetime.fromtimestamp(int(float(epoch)), datetime.timezone.utc)
    return day.strftime("%Y-%m-%d")


# ---------------------------------------------------------------- roff

def escape(text):
    text = text.replace("\\", "\\e").replace("\u2013", "\\(en")
    # A minus that is one: of an errno, an option, a number.
    return re.sub(r"(?<![A-Za-z0-9])-(?=[A-Za-z0-9-])", r"\\-", text)


def literal(text):
    for plain_one, roff in (("\\", "\\e"), ("-", "\\-"), ("'", "\\(aq"), ("`", "\\(ga"),
                            ("^", "\\(ha"), ("~", "\\(ti")):
        text = text.replace(plain_one, roff)
    return text


def guard(line):
    return "\\&" + line if line[:1] in (".", "'") else line


def fill(text):
    """Lines of text, each sentence on a line of its own."""
    lines = []
    for sentence in re.split(r"(?<=[.:;?!])(?<!e\.g\.)(?<!\d\.) (?=[A-Z\\#(])",
                             re.sub(r"\s+", " ", text.strip())):
        line = ""
        for word in sentence.split(" "):
            if line and len((line + " " + word).encode()) > WIDTH:
                lines.append(line)
                line = word
            else:
                line = line + " " + word if line else word
        lines.append(line)
    return [guard(line) for line in lines if line]


def code(text):
    """Lines as they are."""
    lines = [guard(literal(line.expandtabs(4).rstrip())) for line in text.split("\n")]
    return [".EX"] + [line or "\\&" for line in lines] + [".EE"]


class Writer:
    def __init__(self, headers):
        self.headers = headers

    def section_of(self, name):
        """(page, section) of a group, a function or a member of one; None for no page."""
        if name in self.headers.functions:
            return name, "3"
        if name in self.headers.groups:
            return name, "7"
        member = self.headers.members.get(name) or self.headers.structs.get(name)
        return (member.group, "7") if member else None

    def inline(self, pieces):
        out = []
        for piece in pieces:
            if piece[0] == "t":
                out.append(escape(piece[1]))
            elif piece[0] == "code":
                out.append("\\fB%s\\fP" % literal(piece[1].strip()))
            elif piece[0] in "bi":
                out.append("\\f%s%s\\fP" % (piece[0].upper(), escape(plain(piece[1]).strip())))
            elif piece[1] == "section":
                page, title = self.headers.section_page[piece[2]]
                out.append("\\(lq%s\\(rq in \\fB%s\\fP(7)" % (escape(title), page))
            elif piece[1] == "group":
                out.append("\\fB%s\\fP(7)" % piece[2])
            elif piece[2] in self.headers.functions:
                out.append("\\fB%s\\fP(3)" % piece[2])
            else:
                out.append("\\fB%s\\fP" % literal(piece[3]))
        return "".join(out).strip()

    def paragraph(self, pieces):
        return fill(self.inline(pieces))

    def blocks(self, blocks, first=True):
        out = []
        for block in blocks:
            if block[0] == "p":
                out += ([] if first else [".PP"]) + self.paragraph(block[1])
            elif block[0] in ("code", "text"):
                out += ([] if first else [".PP"]) + [".in +4n"] + code(block[1]) + [".in"]
            elif block[0] == "list":
                for number, item in enumerate(block[2]):
                    out.append(".IP %s" % ("%d. 4" % (number + 1) if block[1] else "\\(bu 2"))
                    inner = self.blocks(item)
                    out += [line.replace(".PP", ".IP") if line == ".PP" else line
                            for line in inner]
            elif block[0] == "section":
                out += [".SS " + escape(block[2])] + self.blocks(block[3])
            first = False
        return out

    def item(self, tag, blocks):
        return [".TP", tag] + [".IP" if line == ".PP" else line for line in self.blocks(blocks)]

    # ---- prototypes

    def prototype(self, it):
        """int f(int a, char *b), with the parameters' names set apart, in lines of 78."""
        head = re.sub(r"\* (\w)", r"*\1", it.definition)
        args = re.match(r"\((.*)\)", it.args).group(1)
        parts, depth, part = [], 0, ""
        for char in args:
            depth += {"(": 1, ")": -1}.get(char, 0)
            if char == "," and depth == 0:
                parts.append(part.strip())
                part = ""
            else:
                part += char
        parts.append(part.strip())
        lines, line, width = [], [], len(head) + 1
        indent = min(width, 30)
        for n, part in enumerate(parts):
            end = ");" if n == len(parts) - 1 else ", "
            if line and width + len(part) + len(end) > WIDTH - 8:
                lines.append(line)
                line, width = [], indent
            line.append((part, end))
            width += len(part) + len(end)
        lines.append(line)
        out = []
        for n, line in enumerate(lines):
            pieces = ["B", head + "(" if n == 0 else " " * indent]
            for part, end in line:
                match = re.match(r"(.*[ *])(\w+)((?:\[\])?)$", part)
                named = match and not part.startswith("void)") and "(" not in part
                if named:
                    pieces[-1] += match.group(1)
                    pieces += [match.group(2), match.group(3) + end]
                else:
                    pieces[-1] += part + end
            pieces[-1] = pieces[-1].rstrip()
            quoted = " ".join('"%s"' % literal(p) if re.search(r"\s", p) or not p else literal(p)
                              for p in pieces[1:])
            out.append((".BI " if len(pieces) > 2 else ".B ") + quoted)
        return out

    @staticmethod
    def brief(it):
        return escape(" ".join(plain(b[1]).strip() for b in it.brief if b[0] == "p").rstrip("."))


# ---------------------------------------------------------------- pages

def references(blocks, found):
    """The names that blocks refer to."""
    for block in blocks:
        if block[0] == "p":
            for piece in block[1]:
                if piece[0] == "ref":
                    found.add(piece[2])
        elif block[0] == "list":
            for item in block[2]:
                references(item, found)
        elif block[0] == "section":
            references(block[3], found)
    return found


def all_text(blocks):
    out = []
    for block in blocks:
        if block[0] == "p":
            out.append(plain(block[1]))
        elif block[0] == "list":
            out += [all_text(item) for item in block[2]]
        elif block[0] == "section":
            out.append(all_text(block[3]))
        else:
            out.append(block[1])
    return "\n".join(out)


class Pages:
    def __init__(self, top, headers, out):
        self.top, self.headers, self.out = top, headers, out
        self.write = Writer(headers)
        self.date = date(top)
        self.version = os.environ.get("ASHMEM_VERSION", "")
        self.environment = self.variables()
        self.programs = self.find_programs()
        self.mentions = {}
        for name, it in headers.functions.items():
            self.mentions[name] = set()
            for blocks in [it.text] + [b for _, b in it.params + it.errors_as_named]:
                references(blocks, self.mentions[name])

    def variables(self):
        """Of docs/environment.md: variable -> (calls that read it, meaning)."""
        found = {}
        for line in read(os.path.join(self.top, "docs", "environment.md")).split("\n"):
            match = re.match(r"\| `(\w+)` \| (.*?) \| (.*?) \|$", line)
            if match:
                found[match.group(1)] = (set(re.findall(r"ashmem_\w+", match.group(2))),
                                         match.group(3))
        return found

    def find_programs(self):
        """(place, text) of the C programs of the pages, the shortest first."""
        found = []
        for page in ("docs/tutorial.md", "docs/guide.md", "docs/cache.md"):
            title = ""
            for part in re.split(r"^(#+ .*|```c\n(?:.|\n)*?^```$)", read(
                    os.path.join(self.top, page)), flags=re.M):
                if part.startswith("#"):
                    title = part.lstrip("# ")
                elif part.startswith("```c\n"):
                    text = part[5:-3].rstrip("\n")
                    if text.count("\n") <= EXAMPLE_LINES and "int main" in text:
                        found.append(("\\(lq%s\\(rq in %s" % (escape(title), page), text))
        return sorted(found, key=lambda p: len(p[1]))

    def page(self, name, section, parts):
        lines = ['.\\" SPDX-License-Identifier: MIT', ".nr HY 0",
                 '.TH %s %s %s "libashmem %s" "libashmem"' % (
                     name.upper(), section, self.date, self.version), ".ad l", ".nh"]
        for title, body in parts:
            if body:
                lines += [".SH " + title] + body
        path = os.path.join(self.out, "man" + section, "%s.%s" % (name, section))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def see_also(self, names):
        out = []
        pages = sorted(names, key=lambda p: (p[1], p[0]))
        for n, (name, section) in enumerate(pages):
            end = "," if n < len(pages) - 1 else ""
            out.append(".BR %s (%s)%s" % (literal(name), section, end))
        return out

    def environment_of(self, text, names):
        """The variables that a text mentions or calls of these names read; None: all."""
        out = []
        for variable, (readers, meaning) in self.environment.items():
            if names is None or variable in text or readers & names:
                meaning = re.sub(r"`([^`]*)`", lambda m: "\\fB%s\\fP" % literal(m.group(1)),
                                 escape(meaning))
                out += [".TP", ".B " + variable] + fill(meaning)
        return out

    def example(self, it):
        group = self.headers.groups[it.group]
        call = re.compile(r"\b%s\(" % it.name)
        codes = [b[1] for b in group.text if b[0] == "code"]
        for text in codes:
            if call.search(text):
                return code(text)
        for place, text in self.programs:
            if call.search(text):
                return ["From %s:" % place, ".PP"] + code(text)
        return []

    def name(self, it):
        brief = self.write.brief(it)
        return fill("%s \\- %s" % (it.name, brief[:1].lower() + brief[1:]))

    def function(self, it):
        write = self.write
        brief = plain(it.brief[0][1]).strip() if it.brief else ""
        description = list(it.text) or list(it.brief)
        names = {it.name}
        body = write.blocks(description)
        if it.params:
            body += [".PP", "The parameters:"] if body else ["The parameters:"]
            for parameters, blocks in it.params:
                tag = ", ".join(n for n, _ in parameters)
                body += write.item(".I " + tag, blocks)
        returns = write.blocks(it.returns)
        if not returns:
            returns = ["None."]
        elif it.errors:
            returns += [".PP", "On failure a negative errno value of the list below;", "no output "
                        "is written, and", ".I errno", "is not set."]
        errors = []
        for text, same in itertools.groupby(it.errors, key=lambda error: error[1]):
            tags = ", ".join(literal(name) for name, _ in same)
            errors += write.item(".B \"%s\"" % tags if " " in tags else ".B " + tags, text)
        related = {n for n in self.mentions[it.name] if n in self.headers.functions}
        related |= {n for n, m in self.mentions.items() if it.name in m}
        related.discard(it.name)
        siblings = [f.name for f in self.headers.groups[it.group].parts if f.kind == "function"]
        if len(siblings) <= 12:
            related |= set(siblings) - {it.name}
        text = all_text(it.text) + brief
        self.page(it.name, "3", [
            ("NAME", self.name(it)),
            ("LIBRARY", ["libashmem (\\fB\\-lashmem\\fP)"]),
            ("SYNOPSIS", [".nf", ".B #include <ashmem/ashmem.h>", ".PP"] + write.prototype(it)
             + [".fi"]),
            ("DESCRIPTION", body),
            ("RETURN VALUE", returns),
            ("ERRORS", errors),
            ("ENVIRONMENT", self.environment_of(text, names)),
            ("HISTORY", ["Since libashmem " + " ".join(write.blocks(it.since)) + "."]
             if it.since else []),
            ("NOTES", [".SS Threads"] + write.blocks(it.threads) if it.threads else []),
            ("EXAMPLES", self.example(it)),
            ("SEE ALSO", self.see_also({(n, "3") for n in related}
                                       | {(it.group, "7"), ("libashmem", "7")})),
        ])

    def members(self, parts):
        write, out = self.write, []
        for part in parts:
            if part.kind == "define":
                tag = ".BR %s \" (%s)\"" % (part.name, literal(part.initializer).replace('"', '""'))
                if not part.initializer:
                    tag = ".B " + part.name
            elif part.kind == "enum":
                tag = ".B enum " + part.name
            elif part.kind == "function":
                tag = ".B \"%s\"" % literal(part.definition + part.args).replace('"', '""')
            else:
                tag = ".B \"%s\"" % literal(re.sub(r"\bashmem_\w+::", "", part.definition))
            blocks = part.brief + part.text or [("p", [("t", "See above.")])]
            out += write.item(tag, blocks)
            for value in part.values:
                out += write.item(".B " + value.name, value.text)
        return out

    def group(self, group):
        write = self.write
        functions = [p for p in group.parts if p.kind == "function" and "::" not in p.name]
        synopsis = [".nf", ".B #include <ashmem/ashmem%s>" % (
            ".hpp" if group.name == "ashmem_cpp" else ".h")]
        for it in functions:
            synopsis += [".PP"] + write.prototype(it)
        text, examples = list(group.text), []
        while text and (text[0][0] == "code" or (
                len(text) > 1 and text[0][0] == "p" and text[1][0] == "code")):
            examples.append(text.pop(0))
        calls = []
        for it in functions:
            calls += write.item(".BR %s (3)" % it.name, it.brief)
        structures = []
        for it in group.structs:
            structures += [".SS \"%s %s\"" % (it.kind, it.name)]
            structures += write.blocks(it.brief + it.text)
            structures += self.members(it.parts)
        constants = self.members([p for p in group.parts if p.kind != "function" or "::" in p.name])
        self.page(group.name, "7", [
            ("NAME", self.name(group)),
            ("LIBRARY", ["libashmem (\\fB\\-lashmem\\fP)"]),
            ("SYNOPSIS", synopsis + [".fi"]),
            ("DESCRIPTION", write.blocks(text or group.brief)),
            ("FUNCTIONS", calls),
            ("CONSTANTS AND TYPES", constants),
            ("STRUCTURES", structures),
            ("ENVIRONMENT", self.environment_of(all_text(group.text), set())),
            ("EXAMPLES", write.blocks(examples)),
            ("SEE ALSO", self.see_also({(it.name, "3") for it in functions}
                                       | {("libashmem", "7")})),
        ])

    def overview(self):
        write = self.write
        first = [b for b in self.headers.overview if b[0] != "section"]
        body = write.blocks(first)
        for block in self.headers.overview:
            if block[0] == "section":
                body += [".SS " + escape(block[2])] + write.blocks(block[3])
        program = re.search(r"^```c\n((?:.|\n)*?)^```$", read(os.path.join(self.top, "README.md")),
                            re.M).group(1).rstrip("\n")
        self.page("libashmem", "7", [
            ("NAME", ["libashmem \\- purgeable shared memory"]),
            ("LIBRARY", ["libashmem (\\fB\\-lashmem\\fP)"]),
            ("SYNOPSIS", [".nf", ".B #include <ashmem/ashmem.h>", ".PP",
                          ".B cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs libashmem)",
                          ".fi"]),
            ("DESCRIPTION", body),
            ("ENVIRONMENT", self.environment_of("", None)),
            ("EXAMPLES", code(program)),
            ("SEE ALSO", self.see_also(
                {(g, "7") for g in self.headers.groups} | {("memfd_create", "2")} |
                {tuple(n.rsplit(".", 1)) for n in os.listdir(os.path.join(self.top, "tools"))
                 if re.search(r"\.[18]$", n)})),
        ])

    def all(self):
        for it in self.headers.functions.values():
            self.function(it)
        for group in self.headers.groups.values():
            self.group(group)
        self.overview()


def main():
    top, xml, out = sys.argv[1:]
    Pages(top, Headers(xml), out).all()


if __name__ == "__main__":
    main()
