# SPDX-License-Identifier: MIT
"""What the comments of the public headers say, read from Doxygen's XML.

The man pages (man_pages.py) and the reference of the site (make_source.py) are written from this.

Text comes as blocks, each a tuple:
  ("p", inline)  ("list", ordered, [blocks, ...])  ("code", text)  ("text", text)
  ("section", id, title, blocks)
Inline is a list of ("t", text), ("code", text), ("b", inline), ("i", inline),
("ref", kind, target, text), where kind is "member", "group", "section", "struct" or "file".
"""

import os
import re
import xml.etree.ElementTree as ElementTree


class Function:
    """A function, macro, type or enumeration of a group."""

    def __init__(self):
        self.kind = self.name = self.id = self.definition = self.args = ""
        self.brief, self.text, self.returns, self.since, self.threads = [], [], [], [], []
        self.params, self.errors, self.values, self.parts = [], [], [], []
        self.errors_as_named = []
        self.initializer = self.group = self.template = ""


class Group:
    """A group of functions: a page."""

    def __init__(self):
        self.name = self.title = ""
        self.brief, self.text, self.parts, self.structs, self.sections = [], [], [], [], {}


def squeeze(text):
    return re.sub(r"\s+", " ", text or "")


def plain(inline):
    """The text of inline pieces without their fonts."""
    out = []
    for piece in inline:
        out.append(plain(piece[1]) if piece[0] in "bi" else piece[-1])
    return "".join(out)


class Headers:
    def __init__(self, directory):
        self.directory = directory
        self.groups, self.members, self.structs, self.section_page = {}, {}, {}, {}
        self.kinds = {}
        names = sorted(n for n in os.listdir(directory) if n.endswith(".xml"))
        self.trees = {n[:-4]: ElementTree.parse(os.path.join(directory, n)).getroot().find(
            "compounddef") for n in names if n not in ("index.xml", "Doxyfile.xml")}
        for tree in self.trees.values():
            self._note(tree)
        main = self.trees["indexpage"]
        self.overview = self.blocks(main.find("detaileddescription"))
        for name, tree in self.trees.items():
            if name.startswith("group__"):
                self._group(tree)
        self.groups = dict(sorted(self.groups.items()))
        self.functions = {f.name: f for g in self.groups.values() for f in g.parts
                          if f.kind == "function" and "::" not in f.name}
        self._write_errors_out()

    def _note(self, tree):
        kind = tree.get("kind")
        name = tree.findtext("compoundname")
        self.kinds[tree.get("id")] = ("group" if kind == "group" else "file" if kind == "file"
                                      else "struct", name)
        for section in tree.iter("sect1"):
            page = "libashmem" if kind == "page" else name
            self.kinds[section.get("id")] = ("section", section.get("id").split("_1", 1)[1])
            self.section_page[section.get("id").split("_1", 1)[1]] = (
                page, squeeze(section.findtext("title")))
        if kind != "file":
            for member in tree.iter("memberdef"):
                self.kinds[member.get("id")] = ("member", member.findtext("qualifiedname")
                                                or member.findtext("name"))

    # ---- text

    def inline(self, node, out):
        def add(text):
            text = squeeze(text)
            if text:
                out.append(("t", text))
        add(node.text)
        for child in node:
            tag = child.tag
            if tag == "computeroutput":
                out.append(("code", squeeze("".join(child.itertext()))))
            elif tag in ("bold", "emphasis"):
                inner = []
                self.inline(child, inner)
                out.append(("b" if tag == "bold" else "i", inner))
            elif tag == "ref":
                kind, target = self.kinds.get(child.get("refid"), ("struct", ""))
                out.append(("ref", kind, target, squeeze("".join(child.itertext()))))
            elif tag == "ulink":
                out.append(("t", squeeze("".join(child.itertext()))))
            elif tag == "ndash":
                out.append(("t", "\u2013"))
            elif tag == "nonbreakablespace":
                out.append(("t", " "))
            else:
                raise ValueError("doxygen's XML has <%s>, which headers.py does not know" % tag)
            add(child.tail)

    def code(self, node):
        lines = []
        for line in node.findall("codeline"):
            text = []
            for part in line.iter():
                if part.tag == "sp":
                    text.append(" ")
                text.append(part.text or "")
                if part is not line:
                    text.append(part.tail or "")
            lines.append("".join(text).rstrip())
        return "\n".join(lines).strip("\n")

    def blocks(self, node, function=None):
        """The blocks of a description. Parts that belong to a function's sections go there."""
        out = []
        for child in node:
            if child.tag == "para":
                self._para(child, out, function)
            elif child.tag == "sect1":
                out.append(("section", child.get("id").split("_1", 1)[1],
                            squeeze(child.findtext("title")), self.blocks(child)))
            elif child.tag not in ("title",):
                raise ValueError("doxygen's XML has <%s> in a description" % child.tag)
        return out

    BLOCKS = ("itemizedlist", "orderedlist", "programlisting", "verbatim", "preformatted",
              "simplesect", "parameterlist")

    def _para(self, para, out, function):
        run = ElementTree.Element("para")
        run.text = para.text

        def flush():
            inline = []
            self.inline(run, inline)
            if plain(inline).strip():
                self._paragraph(inline, out, function)
            run.clear()
        for child in para:
            if child.tag not in self.BLOCKS:
                run.append(child)
                continue
            tail, child.tail = child.tail, None
            flush()
            self._block(child, out, function)
            run.text = tail
        flush()

    def _paragraph(self, inline, out, function):
        first = inline[0]
        if function is not None and first[0] == "t" and first[1].lstrip().startswith("Threads: "):
            text = first[1].lstrip()[len("Threads: "):]
            function.threads.append(("p", [("t", text[:1].upper() + text[1:])] + inline[1:]))
        else:
            out.append(("p", inline))

    def _block(self, child, out, function):
        if child.tag in ("itemizedlist", "orderedlist"):
            out.append(("list", child.tag == "orderedlist",
                        [self.blocks(item) for item in child]))
        elif child.tag == "programlisting":
            is_code = child.get("filename") not in (None, ".unparsed")
            out.append(("code" if is_code else "text", self.code(child)))
        elif child.tag in ("verbatim", "preformatted"):
            out.append(("text", "".join(child.itertext()).strip("\n")))
        elif child.tag == "simplesect" and function is not None:
            kind = child.get("kind")
            where = {"return": function.returns, "since": function.since}.get(kind, out)
            where.extend(self.blocks(child))
        elif child.tag == "simplesect":
            out.extend(self.blocks(child))
        elif child.get("kind") in ("param", "templateparam"):
            for item in child:
                names = [(n.text, n.get("direction") or "") for n in item.iter("parametername")]
                function.params.append((names, self.blocks(item.find("parameterdescription"))))
        elif child.get("kind") == "retval":
            for item in child:
                blocks = self.blocks(item.find("parameterdescription"))
                for name in item.iter("parametername"):
                    function.errors.append(("".join(name.itertext()), blocks))
        elif child.get("kind") == "exception":
            for item in child:
                names = ", ".join("".join(n.itertext()) for n in item.iter("parametername"))
                function.errors.append((names, self.blocks(item.find("parameterdescription"))))

    # ---- members

    def member(self, node):
        it = Function()
        it.kind, it.id = node.get("kind"), node.get("id")
        it.name = node.findtext("qualifiedname") or node.findtext("name")
        it.definition = squeeze(node.findtext("definition"))
        it.args = squeeze(node.findtext("argsstring"))
        template = node.find("templateparamlist")
        if template is not None:
            it.template = "template<%s> " % ", ".join(
                squeeze("".join(p.find("type").itertext())) + (
                    " " + p.findtext("declname") if p.findtext("declname") else "")
                for p in template)
        it.initializer = squeeze(node.findtext("initializer"))
        it.brief = self.blocks(node.find("briefdescription"))
        it.text = self.blocks(node.find("detaileddescription"), it)
        for value in node.findall("enumvalue"):
            part = Function()
            part.name, part.kind = value.findtext("name"), "enumvalue"
            part.text = self.blocks(value.find("briefdescription")) + self.blocks(
                value.find("detaileddescription"))
            it.values.append(part)
        return it

    def struct(self, tree):
        it = Function()
        it.kind, it.id, it.name = tree.get("kind"), tree.get("id"), tree.findtext("compoundname")
        it.brief = self.blocks(tree.find("briefdescription"))
        it.text = self.blocks(tree.find("detaileddescription"), it)
        for section in tree.findall("sectiondef"):
            if section.get("kind").startswith("private"):
                continue
            it.parts.extend(self.member(m) for m in section.findall("memberdef"))
        return it

    def _group(self, tree):
        group = Group()
        group.name, group.title = tree.findtext("compoundname"), tree.findtext("title")
        group.brief = self.blocks(tree.find("briefdescription"))
        group.text = self.blocks(tree.find("detaileddescription"))
        for section in tree.findall("sectiondef"):
            for node in section.findall("memberdef"):
                part = self.member(node)
                part.group = group.name
                group.parts.append(part)
                self.members[part.name] = part
        for inner in tree.findall("innerclass"):
            part = self.struct(self.trees[inner.get("refid")])
            part.group = group.name
            group.structs.append(part)
            self.structs[part.name] = part
        self.groups[group.name] = group

    # ---- errors

    def common_errors(self):
        """errno -> blocks, from the overview's list of errors that any call can return."""
        found = {}
        for block in self.overview:
            if block[0] == "section" and block[1] == "ashmem_common_errors":
                for item in block[3][0][2]:
                    inline = list(item[0][1])
                    name = plain([inline[0]])
                    inline[1] = ("t", re.sub(r"^: ", "", inline[1][1]))
                    first = inline[1][1]
                    inline[1] = ("t", first[:1].upper() + first[1:])
                    found[name] = [("p", inline[1:])] + item[1:]
        return found

    def _write_errors_out(self):
        """"See ashmem_pin()" and "See Errors that any call ..." become what is said there."""
        common = self.common_errors()

        def in_section(label, name):
            """What a section of a group's page says of an error."""
            for group in self.groups.values():
                for block in group.text:
                    if block[0] == "section" and block[1] == label:
                        return [b for b in block[3] if b[0] == "p" and name in plain(b[1])][:1]
            return []

        def resolve(function, name, blocks, depth=0):
            inline = blocks[0][1] if blocks and blocks[0][0] == "p" else []
            text = plain(inline).strip()
            if not text.startswith(("See ", "As ")) or depth > 3:
                return blocks
            for piece in inline:
                if piece[0] != "ref":
                    continue
                if piece[1] == "section":
                    own = [] if piece[2] == "ashmem_common_errors" else in_section(piece[2], name)
                    if name in common and (not own or name != "-EINVAL"):
                        return common[name]
                    if own:
                        return own
                other = self.functions.get(piece[2])
                if piece[1] == "member" and other:
                    for its, its_blocks in other.errors:
                        if its == name:
                            return resolve(other, name, its_blocks, depth + 1)
            return blocks
        for function in self.functions.values():
            function.errors_as_named = list(function.errors)
        for function in self.functions.values():
            function.errors = [(n, resolve(function, n, b)) for n, b in function.errors]
