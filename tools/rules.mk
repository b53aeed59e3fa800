# SPDX-License-Identifier: MIT
#
# The tools: each tools/NAME.c makes one program, with a manual page beside it.

TOOLS := $(call program,$(sort $(wildcard $(TOP)/tools/*.c)))

SECTIONS += TOOLS TOOLS_MAN
TOOLS_DIR = $(BINDIR)
TOOLS_FILES = $(TOOLS)
TOOLS_MODE = 755
TOOLS_MAN_DIR = $(MANDIR)/man1
TOOLS_MAN_FILES = $(sort $(wildcard $(TOP)/tools/*.1))

all: $(TOOLS)

$(BUILD)/obj/tools/%.o: $(TOP)/tools/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS),$(USER_CFLAGS))

# The tools use the shared library, as other programs do: below build/ they run with
# LD_LIBRARY_PATH=build.
$(TOOLS): $(BUILD)/tools/%: $(BUILD)/obj/tools/%.o $(BUILD)/$(LINKNAME)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(call link,$< -L$(BUILD) -lashmem)

-include $(wildcard $(BUILD)/obj/tools/*.d)
