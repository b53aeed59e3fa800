# SPDX-License-Identifier: MIT
#
# The daemon: one program of all of daemon/*.c, with its manual page and its units for systemd. How
# areas of other processes are found, it shares with ashmemctl.

DAEMON := $(BUILD)/daemon/ashmemd
DAEMON_UNITS := $(BUILD)/daemon/system/ashmemd.service $(BUILD)/daemon/user/ashmemd.service

SECTIONS += DAEMON DAEMON_MAN DAEMON_SYSTEM DAEMON_USER
DAEMON_DIR = $(SBINDIR)
DAEMON_FILES = $(DAEMON)
DAEMON_MODE = 755
DAEMON_MAN_DIR = $(MANDIR)/man8
DAEMON_MAN_FILES = $(TOP)/daemon/ashmemd.8
DAEMON_SYSTEM_DIR = $(SYSTEMUNITDIR)
DAEMON_SYSTEM_FILES = $(BUILD)/daemon/system/ashmemd.service
DAEMON_USER_DIR = $(USERUNITDIR)
DAEMON_USER_FILES = $(BUILD)/daemon/user/ashmemd.service

all: $(DAEMON) $(DAEMON_UNITS)

DAEMON_OBJ := $(patsubst $(TOP)/%.c,$(BUILD)/obj/%.o,$(sort $(wildcard $(TOP)/daemon/*.c)) \
	$(TOP)/tools/ashmemctl/proc.c)

$(BUILD)/obj/daemon/%.o: $(TOP)/daemon/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS) -I$(TOP)/tools,$(USER_CFLAGS))

$(DAEMON): $(DAEMON_OBJ) $(BUILD)/$(LINKNAME)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(call link,$(DAEMON_OBJ) -L$(BUILD) -lashmem)

# Where it is installed stands in the units.
$(BUILD)/daemon/%/ashmemd.service: $(TOP)/daemon/%.service.in $(FLAGS_FILE) FORCE
	@mkdir -p $(@D)
	@sed 's|@SBINDIR@|$(SBINDIR)|' $< | cmp -s - $@ || sed 's|@SBINDIR@|$(SBINDIR)|' $< >$@

-include $(wildcard $(BUILD)/obj/daemon/*.d)
