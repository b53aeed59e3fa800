# SPDX-License-Identifier: MIT
#
# libashmem(3) out of the main page in ashmem.h, which doxygen leaves out of its manual pages:
#
#   awk -v version=0.9.0 -f man_overview.awk include/ashmem/ashmem.h >libashmem.3
#
# It knows the Markdown that the main page uses: sections, paragraphs, lists, lists of references,
# `code`, *emphasis* and **strong emphasis**; and references to groups, to sections of the main page
# and to the section about pins.

# Each PATTERN...PATTERN pair in LINE set in FONT. mark is the length of the marks.
function set_in(line, pattern, mark, font,   done, inner) {
	done = ""
	while (match(line, pattern)) {
		inner = substr(line, RSTART + mark, RLENGTH - 2 * mark)
		done = done substr(line, 1, RSTART - 1) "\\f" font inner "\\fP"
		line = substr(line, RSTART + RLENGTH)
	}
	return done line
}

# @ref NAME in LINE: the title of a section of this page, or the page of a group.
function refer(line,   name, page) {
	while (match(line, /@ref [a-z_]+/)) {
		name = substr(line, RSTART + 5, RLENGTH - 5)
		if (name in heading)
			page = "\"" heading[name] "\""
		else
			page = "**" (name == "ashmem_pins" ? "ashmem_area" : name) "**(3)"
		line = substr(line, 1, RSTART - 1) page substr(line, RSTART + RLENGTH)
	}
	return line
}

function roff(line) {
	gsub(/\\/, "\\e", line)
	line = refer(line)
	gsub(/-/, "\\-", line)
	line = set_in(line, "`[^`]+`", 1, "B")
	line = set_in(line, "\\*\\*[^*]+\\*\\*", 2, "B")
	line = set_in(line, "\\*[^* ][^*]*\\*", 1, "I")
	if (line ~ /^['.]/)
		line = "\\&" line
	return line
}

# Titles of the sections, which come after references to them.
BEGIN {
	while ((getline line < ARGV[1]) > 0)
		if (line ~ /@section /) {
			split(line, word, " ")
			name = word[3]
			sub(/.*@section [a-z_]+ /, "", line)
			heading[name] = line
		}
	close(ARGV[1])
}

/@mainpage/ {
	inside = 1
	print ".TH \"libashmem\" 3 \"\" \"libashmem " version "\" \"libashmem\"\n.ad l\n.nh"
	print ".SH \"NAME\"\nlibashmem \\- purgeable shared memory"
	print ".SH \"SYNOPSIS\"\n.nf\n#include <ashmem/ashmem.h>"
	print "\ncc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs libashmem)"
	print ".fi\n.SH \"DESCRIPTION\""
	next
}
inside && /\*\// { exit } # to END
!inside { next }

{ sub(/^ \* ?/, "") }

/^@section / {
	sub(/^@section [a-z_]+ /, "")
	print ".SH \"" toupper($0) "\""
	pending = 0
	next
}
/^- @ref / {
	print ".TP\n.BR " $3 " (3)"
	sub(/^- @ref [a-z_]+ : /, "")
	print roff($0)
	next
}
/^- / {
	print ".IP \\(bu 2\n" roff(substr($0, 3))
	pending = 0
	next
}
/^  [^ ]/ { sub(/^ */, "") }
/^$/ {
	pending = 1
	next
}
{
	if (pending)
		print ".PP"
	pending = 0
	print roff($0)
}

END {
	print ".SH \"SEE ALSO\"\n.BR ashmem\\-inspect (1),"
	print ".BR ashmem_area (3),\n.BR memfd_create (2)"
}
