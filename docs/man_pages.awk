# SPDX-License-Identifier: MIT
#
# Doxygen writes one manual page for each group of functions, and links that name the functions.
# This makes a page of its own for each function out of the group's page, in the usual sections:
#
#   awk -v out=DIRECTORY -v version=0.9.0 -f man_pages.awk GROUP_PAGE...
#
# A group's page goes there too, with a NAME line that whatis(1) can parse. A function that has its
# group's name (ashmem_version) keeps the group's page, and so do the functions of the C++
# namespace.

function title(name) {
	return ".TH \"" name "\" 3 \"\" \"libashmem " version "\" \"libashmem\""
}

# The group's page: only its head needs mending.
function group_line(line) {
	if (line ~ /^\.TH /)
		line = title(group)
	else if (line ~ /^\.SH NAME/)
		in_name = 1
	else if (line ~ /^\.SH "Author"/)
		in_author = 1
	else if (in_name && line ~ /^\.SH/) {
		in_name = 0
		print name_line > page
	} else if (in_name && index(line, group " \\- ") == 1) {
		name_line = line
		return
	} else if (in_name) {
		# ".PP" and " \- What it is for\&." replace the title of the group.
		if (sub(/^ \\- /, "", line)) {
			sub(/(\\&)?\. *$/, "", line)
			name_line = group " \\- " line
		}
		return
	}
	if (!in_author)
		print line > page
}

function flush_block(   kind) {
	kind = "description"
	if (block ~ /^\\fBParameters\\fP\n/)
		kind = "parameters"
	else if (block ~ /^\\fBReturns\\fP\n/)
		kind = "returns"
	else if (block ~ /^\\fBReturn values\\fP\n/)
		kind = "errors"
	else if (block ~ /^\\fBSince\\fP\n/)
		kind = "since"
	else if (sub(/^Threads: /, "", block)) {
		kind = "threads"
		block = toupper(substr(block, 1, 1)) substr(block, 2)
	}
	if (block !~ /^[ \n]*$/) {
		if (kind != "description" && kind != "threads") {
			sub(/^[^\n]*\n/, "", block)
			sub(/^\.RS 4\n/, "", block)
			sub(/\n\.RE\n$/, "\n", block)
		}
		if (kind == "description" && text[kind] != "")
			text[kind] = text[kind] ".PP\n"
		text[kind] = text[kind] block
	}
	block = ""
}

# Lines "\fIname\fP text", divided by ".br", become tagged paragraphs; lists of errors get a blank
# behind each comma.
function tagged(lines, font,   count, part, i, end, tag, result) {
	count = split(lines, part, /\n\.br\n/)
	result = ""
	for (i = 1; i <= count; i++) {
		end = index(part[i], "\\fP")
		tag = substr(part[i], length("\\fI") + 1, end - length("\\fI") - 1)
		gsub(/,/, ", ", tag)
		gsub(/-/, "\\-", tag)
		part[i] = substr(part[i], end + length("\\fP"))
		sub(/^ */, "", part[i])
		if (part[i] ~ /^'/)
			part[i] = "\\&" part[i]
		result = result ".TP\n\\f" font tag "\\fP\n" part[i]
		if (result !~ /\n$/)
			result = result "\n"
	}
	return result
}

function section(name, lines, file) {
	if (lines != "")
		printf ".SH \"%s\"\n%s", name, lines > file
}

function end_function(   file, n, k) {
	if (name == "")
		return
	flush_block()
	if (name != group && name !~ /::/) {
		file = out "/" name ".3"
		n = brief[name]
		sub(/(\\&)?\. *$/, "", n)
		print title(name) > file
		print ".ad l\n.nh\n.SH \"NAME\"\n" name " \\- " n > file
		print ".SH \"SYNOPSIS\"\n.nf\n#include <ashmem/ashmem.h>\n.fi" > file
			print ".PP\n.HP 4\n" prototype[name] > file
		section("DESCRIPTION", text["description"], file)
		section("PARAMETERS", tagged(text["parameters"], "I"), file)
		section("RETURN VALUE", text["returns"], file)
		section("ERRORS", tagged(text["errors"], "B"), file)
		section("THREADS", text["threads"], file)
		if (text["since"] != "")
			section("HISTORY", "Since libashmem " text["since"], file)
		print ".SH \"SEE ALSO\"\n.BR libashmem (3),\n.BR " group " (3)" > file
		close(file)
	}
	for (k in text)
		delete text[k]
	name = ""
}

FNR == 1 {
	if (page != "")
		close(page)
	group = FILENAME
	sub(/.*\//, "", group)
	sub(/\.3$/, "", group)
	page = out "/" group ".3"
	in_name = in_author = in_functions = 0
	last = ""
}

# Doxygen sets quotes as 'text', and roff takes those at a line's beginning for a request; a
# reference to a section of the main page is one to libashmem(3).
{
	if (/^'/)
		$0 = "\\&" $0
	gsub(/\\fB(Errors that any call on an area can return|Structures that grow)\\fP/,
			"\\fBlibashmem\\fP(3)")
	group_line($0)
}

# "int f(int a, int b);", broken between parameters only.
function one_prototype(line, name,   at, head, tail) {
	sub(/^\.RI "/, "", line)
	sub(/" *$/, ";", line)
	at = index(line, "\\fB" name "\\fP (")
	head = substr(line, 1, at - 1)
	sub(/\* $/, "*", head)
	tail = substr(line, at + length("\\fB" name "\\fP ("))
	gsub(/\\f[BP]/, "", tail)
	gsub(/ /, "\\ ", tail)
	gsub(/,\\ /, ", ", tail)
	return head "\\fB" name "\\fP(" tail
}

# The synopsis has each prototype, and below it the brief sentence.
!in_functions && match($0, /\\fBashmem_[a-z0-9_]*\\fP \(/) && /^\.RI "/ {
	last = substr($0, RSTART + length("\\fB"), RLENGTH - length("\\fB\\fP ("))
	prototype[last] = one_prototype($0, last)
	next
}
!in_functions && last != "" && /^\.RI "/ {
	brief[last] = $0
	sub(/^\.RI "/, "", brief[last])
	sub(/ *"$/, "", brief[last])
	last = ""
}

/^\.SH / {
	end_function()
	in_functions = /"Function Documentation"/
	next
}
in_functions && /^\.SS "/ {
	end_function()
	name = $0
	sub(/ \(.*/, "", name)
	sub(/.*[ *"]/, "", name)
	next
}
in_functions && name != "" {
	if (/^\.PP *$/)
		flush_block()
	else
		block = block $0 "\n"
}

END { end_function() }
