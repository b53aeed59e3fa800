# SPDX-License-Identifier: MIT
"""Sphinx's settings for the site. `make site` sets ASHMEM_VERSION and makes the source."""

import os

project = "libashmem"
version = release = os.environ.get("ASHMEM_VERSION", "")
author = "The libashmem authors"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "index"
exclude_patterns = ["_build"]

# Fragments of headings are those that hosts of repositories make.
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]

primary_domain = "c"
highlight_language = "text"
# Of a parameter and its description.
smartquotes_action = "D"

html_theme_path = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "theme")]
html_theme = "plain"
html_title = "libashmem"
html_last_updated_fmt = None
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_domain_indices = False
pygments_style = "default"

# Sphinx 5 loads these for scripts of other themes; nothing here uses them.
UNUSED = ("jquery", "underscore", "_sphinx_javascript_frameworks_compat")


def without_unused(app, pagename, templatename, context, doctree):
    context["script_files"] = [s for s in context.get("script_files", ())
                               if not str(getattr(s, "filename", s)).split("/")[-1].startswith(
                                   UNUSED)]


def setup(app):
    app.connect("html-page-context", without_unused)
