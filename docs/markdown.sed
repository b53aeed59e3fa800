# SPDX-License-Identifier: MIT
#
# What `make docs` changes in *.md before doxygen reads them: links that lead somewhere on a
# checkout and nowhere in the HTML. A link to a place in another page becomes one to the page; a
# link to a file that is no page is set as text, and so is a link to a place in the same page.

# Pages beside the tests and in bindings are not part of the manual.
s/\[\([^]]*\)\](\(\(\.\.\/\)*\(tests\|bindings\)\/[^)]*\))/\1 (`\2`)/g

# Keep links to pages out of the way (# < and > mark them) while the others are changed.
s/\](\([^)#:]*\.md\)#[^)]*)/](\1)/g
s/\](\([^)#:]*\.md\))/]<#\1#>/g

s/\(^\|[^!]\)\[\([^]]*\)\](#[^)]*)/\1\2/g
s/\(^\|[^!]\)\[\([^]]*\)\](\([^):#]*\))/\1\2 (`\3`)/g
s/(`\(`[^`]*`\)`)/(\1)/g

s/\]<#\([^#]*\)#>/](\1)/g

# README's title is the main page's as well.
1s/^# libashmem$/# About libashmem/
