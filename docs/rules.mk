# SPDX-License-Identifier: MIT
#
# The documentation: man pages and a site, from the comments of the public headers (which Doxygen
# reads into XML) and the Markdown pages here. docs/site/ has what makes them.

FUNCTIONS := $(shell sed -n 's/^[[:space:]]*\(ashmem_[a-z0-9_]*\);.*/\1/p' $(MAP))
GROUPS := $(shell sed -n 's/.*@defgroup \(ashmem_[a-z0-9_]*\).*/\1/p' $(HEADERS))
DOCS := $(BUILD)/docs
MANPAGES3 := $(addprefix $(DOCS)/man/man3/,$(addsuffix .3,$(sort $(FUNCTIONS))))
MANPAGES7 := $(addprefix $(DOCS)/man/man7/,$(addsuffix .7,$(sort $(GROUPS) libashmem)))

SECTIONS += MAN3 MAN7
MAN3_DIR = $(MANDIR)/man3
MAN3_FILES = $(MANPAGES3)
MAN7_DIR = $(MANDIR)/man7
MAN7_FILES = $(MANPAGES7)

SPHINX ?= sphinx-build
PYTHON ?= python3
# Everything is remade at each run: it takes seconds, and nothing stale is left.
DOCS_PYTHON = PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 ASHMEM_VERSION=$(VERSION) $(PYTHON)

.PHONY: docs
docs: man site ## Build man pages and site

.PHONY: docs-xml
docs-xml: $(TOP)/docs/Doxyfile
	@rm -rf $(DOCS)/xml && mkdir -p $(DOCS)
	$(Q)cd $(TOP) && { cat docs/Doxyfile; \
		echo 'PROJECT_NUMBER = $(VERSION)'; \
		echo 'OUTPUT_DIRECTORY = "$(abspath $(DOCS))"'; \
		} | $(DOXYGEN) -

.PHONY: man
man: docs-xml ## Build the man pages (needs doxygen, python3); anything undocumented is an error
	@rm -rf $(DOCS)/man
	$(Q)$(DOCS_PYTHON) $(TOP)/docs/site/man_pages.py $(TOP) $(DOCS)/xml $(DOCS)/man
	@echo 'man pages: $(DOCS)/man'

.PHONY: site
site: docs-xml ## Build the site (needs doxygen, sphinx, myst-parser, graphviz, mandoc); warnings \
	are errors
	@rm -rf $(DOCS)/html $(DOCS)/doctrees
	$(Q)$(DOCS_PYTHON) $(TOP)/docs/site/make_source.py $(TOP) $(DOCS)/xml $(DOCS)/source
	$(Q)PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 ASHMEM_VERSION=$(VERSION) $(SPHINX) -q -W \
		--keep-going -b html -c $(TOP)/docs/site -d $(DOCS)/doctrees $(DOCS)/source \
		$(DOCS)/html
	@# What is left over, and what Sphinx brings that no page uses.
	@cd $(DOCS) && rm -rf doctrees html/.buildinfo html/objects.inv html/_static/jquery* \
		html/_static/underscore* html/_static/_sphinx_javascript_frameworks_compat.js \
		html/_static/basic.css html/_static/pygments.css html/_static/*.png
	@echo 'site: $(DOCS)/html/index.html'
