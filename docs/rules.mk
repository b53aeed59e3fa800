# SPDX-License-Identifier: MIT
#
# The manual: HTML and man pages, made by Doxygen from the public headers and the pages here.

FUNCTIONS := $(shell sed -n 's/^[[:space:]]*\(ashmem_[a-z0-9_]*\);.*/\1/p' $(MAP))
GROUPS := $(shell sed -n 's/.*@defgroup \(ashmem_[a-z0-9_]*\).*/\1/p' $(HEADERS))
MANPAGES := $(addprefix $(BUILD)/docs/man/man3/,\
	$(addsuffix .3,$(sort $(FUNCTIONS) $(GROUPS) libashmem)))

SECTIONS += MAN
MAN_DIR = $(MANDIR)/man3
MAN_FILES = $(MANPAGES)

AWESOME := /usr/share/doxygen-awesome-css/doxygen-awesome.css

.PHONY: docs
docs: $(TOP)/docs/Doxyfile ## Build HTML and man pages (needs doxygen); anything \
	undocumented is an error
	@rm -rf $(BUILD)/docs
	@mkdir -p $(BUILD)/docs
	$(Q)cd $(TOP) && { cat docs/Doxyfile; \
		echo 'PROJECT_NUMBER = $(VERSION)'; \
		echo 'OUTPUT_DIRECTORY = "$(abspath $(BUILD))/docs"'; \
		echo 'INPUT += $(patsubst $(TOP)/%,%,$(wildcard $(TOP)/*.md))'; \
		echo 'HTML_EXTRA_STYLESHEET = $(wildcard $(AWESOME)) docs/style.css'; \
		} | $(DOXYGEN) -
	$(Q)mv $(BUILD)/docs/man $(BUILD)/docs/doxygen-man && mkdir -p $(BUILD)/docs/man/man3
	$(Q)awk -v out=$(BUILD)/docs/man/man3 -v version=$(VERSION) -f $(TOP)/docs/man_pages.awk \
		$(patsubst %,$(BUILD)/docs/doxygen-man/man3/%.3,$(GROUPS))
	$(Q)awk -v version=$(VERSION) -f $(TOP)/docs/man_overview.awk \
		$(TOP)/include/ashmem/ashmem.h >$(BUILD)/docs/man/man3/libashmem.3
	$(Q)rm -r $(BUILD)/docs/doxygen-man
	@echo 'HTML: $(BUILD)/docs/html/index.html   man pages: $(BUILD)/docs/man/man3'
