# SPDX-License-Identifier: MIT
#
# The tools: each tools/NAME.c makes one program, with a manual page beside it. What they share is
# in tools/ashmemctl.

TOOLS := $(call program,$(sort $(wildcard $(TOP)/tools/*.c)))

SECTIONS += TOOLS TOOLS_MAN COMPLETE_BASH COMPLETE_ZSH
TOOLS_DIR = $(BINDIR)
TOOLS_FILES = $(TOOLS)
TOOLS_MODE = 755
TOOLS_MAN_DIR = $(MANDIR)/man1
TOOLS_MAN_FILES = $(sort $(wildcard $(TOP)/tools/*.1))
COMPLETE_BASH_DIR = $(PREFIX)/share/bash-completion/completions
COMPLETE_BASH_FILES = $(TOP)/tools/completion/ashmemctl
COMPLETE_ZSH_DIR = $(PREFIX)/share/zsh/site-functions
COMPLETE_ZSH_FILES = $(TOP)/tools/completion/_ashmemctl

all: $(TOOLS)

TOOLS_OBJ := $(patsubst $(TOP)/%.c,$(BUILD)/obj/%.o,$(sort $(wildcard $(TOP)/tools/ashmemctl/*.c)))

$(BUILD)/obj/tools/%.o: $(TOP)/tools/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS),$(USER_CFLAGS))

# The tools use the shared library, as other programs do: below build/ they run with
# LD_LIBRARY_PATH=build.
$(TOOLS): $(BUILD)/tools/%: $(BUILD)/obj/tools/%.o $(TOOLS_OBJ) $(BUILD)/$(LINKNAME)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(call link,$< $(TOOLS_OBJ) -L$(BUILD) -lashmem)

-include $(wildcard $(BUILD)/obj/tools/*.d $(BUILD)/obj/tools/ashmemctl/*.d)
