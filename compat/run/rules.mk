# SPDX-License-Identifier: MIT
#
# ashmem-run and its preload library, which has a copy of libashmem in it: what stands in front of
# libc must not depend on where a program's libraries lie. In that copy the names of redefine.syms
# are replaced, so that it calls libc and not the hooks.

PRELOAD_TOP := $(TOP)/compat/run
PRELOAD_SO := $(BUILD)/compat/run/ashmem-run.so
PRELOAD := $(BUILD)/compat/run/ashmem-run
PRELOAD_SRC := $(sort $(filter-out %/ashmem-run.c,$(wildcard $(PRELOAD_TOP)/*.c)))
PRELOAD_OBJ := $(call object,obj,$(PRELOAD_SRC))
PRELOAD_WITHIN := $(BUILD)/compat/run/within.o
PRELOAD_INSTALLED = $(LIBDIR)/ashmem

SECTIONS += PRELOAD PRELOAD_SO PRELOAD_MAN
PRELOAD_DIR = $(BINDIR)
PRELOAD_FILES = $(PRELOAD)
PRELOAD_MODE = 755
PRELOAD_SO_DIR = $(PRELOAD_INSTALLED)
PRELOAD_SO_FILES = $(PRELOAD_SO)
PRELOAD_SO_MODE = 755
PRELOAD_MAN_DIR = $(MANDIR)/man1
PRELOAD_MAN_FILES = $(PRELOAD_TOP)/ashmem-run.1

all: $(PRELOAD) $(PRELOAD_SO)

# The hooks have libc's types as they are, and define what headers may define inline.
PRELOAD_CPPFLAGS := -I$(TOP)/include -D_GNU_SOURCE
# After the user's flags, which may ask for the contrary.
PRELOAD_CFLAGS = -fPIC -fno-lto -fno-builtin -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=0

$(BUILD)/obj/compat/run/%.o: $(PRELOAD_TOP)/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(PRELOAD_CPPFLAGS),$(LIB_CFLAGS),$(PRELOAD_CFLAGS) $(PRELOAD_MORE))

$(BUILD)/obj/compat/run/hooks_time64.o: PRELOAD_MORE := -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64

$(PRELOAD_WITHIN): $(BUILD)/static/libashmem.o $(PRELOAD_TOP)/redefine.syms
	@mkdir -p $(@D)
	$(Q)$(OBJCOPY) --redefine-syms=$(PRELOAD_TOP)/redefine.syms $< $@

# Only the hooks are seen by others: the library's own functions would stand in front of a
# program's libashmem.
$(PRELOAD_SO): $(PRELOAD_OBJ) $(PRELOAD_WITHIN) $(PRELOAD_TOP)/ashmem-run.map
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -fno-lto -shared -pthread $(call try_ld,-Wl$(comma)-z$(comma)defs) \
		$(call try_ld,-Wl$(comma)-z$(comma)relro) $(call try_ld,-Wl$(comma)-z$(comma)now) \
		$(call try_ld,-Wl$(comma)-z$(comma)nodelete) \
		-Wl,-soname,ashmem-run.so -Wl,--version-script=$(PRELOAD_TOP)/ashmem-run.map \
		$(LDFLAGS) -o $@ $(PRELOAD_OBJ) $(PRELOAD_WITHIN) $(LDLIBS) -ldl

# Where the launcher looks: it changes with PREFIX and LIBDIR, and with nothing else.
$(BUILD)/compat/run/installed.h: FORCE
	@mkdir -p $(@D)
	@printf '#define INSTALLED "%s"\n' '$(PRELOAD_INSTALLED)' | cmp -s - $@ || \
		printf '#define INSTALLED "%s"\n' '$(PRELOAD_INSTALLED)' >$@

$(PRELOAD): $(PRELOAD_TOP)/ashmem-run.c $(BUILD)/compat/run/installed.h $(FLAGS_FILE)
	$(call say,LD,$@)
	$(Q)$(CC) $(USER_CFLAGS) $(CPPFLAGS) $(WARNINGS) $(CFLAGS) -D_FILE_OFFSET_BITS=64 \
		-include $(BUILD)/compat/run/installed.h $(LDFLAGS) -o $@ $< $(LDLIBS)

-include $(wildcard $(BUILD)/obj/compat/run/*.d)

# ---------------------------------------------------------------- tests

# Programs that know nothing of the library, and the differential test of tests/vm, which the
# library of ashmem-run is loaded into. With other options they call libc by other names.
PRELOAD_TESTS := $(patsubst $(TOP)/tests/run/%.c,$(BUILD)/tests/run/%,\
	$(wildcard $(TOP)/tests/run/*.c))
PRELOAD_TESTS_LARGE := $(addsuffix -large,$(PRELOAD_TESTS))
PRELOAD_TEST_FLAGS = -std=gnu11 -pthread $(WARNINGS) -Wno-nonnull -Wno-unknown-warning-option \
	-Wno-stringop-overflow -I$(TOP)/tests/run $(CFLAGS)

$(PRELOAD_TESTS): $(BUILD)/tests/run/%: $(TOP)/tests/run/%.c $(wildcard $(TOP)/tests/run/*.h) \
		$(FLAGS_FILE)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PRELOAD_TEST_FLAGS) -U_FORTIFY_SOURCE $(LDFLAGS) -o $@ $<

$(PRELOAD_TESTS_LARGE): $(BUILD)/tests/run/%-large: $(TOP)/tests/run/%.c \
		$(wildcard $(TOP)/tests/run/*.h) $(FLAGS_FILE)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PRELOAD_TEST_FLAGS) -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 \
		-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 $(LDFLAGS) -o $@ $<

PRELOAD_DIFFERENTIAL := $(BUILD)/tests/run/differential
$(PRELOAD_DIFFERENTIAL): $(wildcard $(TOP)/tests/vm/programs/differential*) \
		$(TOP)/tests/support/model.c $(STATIC)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CPPFLAGS) -I$(TOP)/tests/vm/programs $(USER_CFLAGS) $(WARNINGS) $(CFLAGS) \
		$(LDFLAGS) -o $@ $(filter %.c,$^) $(STATIC)

.PHONY: run-tests
run-tests: $(PRELOAD) $(PRELOAD_SO) $(PRELOAD_TESTS) $(PRELOAD_TESTS_LARGE) $(PRELOAD_DIFFERENTIAL)

.PHONY: check-run
check-run: run-tests ## Run programs that were written for the driver under ashmem-run, and \
	compare with what the driver answered (SHORT=1 without i386; with the driver: check-vm)
	@$(SCRIPT_ENV) $(TOP)/tests/run/check
