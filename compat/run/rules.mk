# SPDX-License-Identifier: MIT
#
# ashmem-run and its preload library, which has a copy of libashmem in it: what stands in front of
# libc must not depend on where a program's libraries lie. In that copy the names of redefine.syms
# are replaced, so that it calls libc and not the hooks.

RUN_TOP := $(TOP)/compat/run
RUN_SO := $(BUILD)/compat/run/ashmem-run.so
RUN := $(BUILD)/compat/run/ashmem-run
RUN_SRC := $(sort $(filter-out %/ashmem-run.c,$(wildcard $(RUN_TOP)/*.c)))
RUN_OBJ := $(call object,obj,$(RUN_SRC))
RUN_WITHIN := $(BUILD)/compat/run/within.o
RUN_INSTALLED = $(LIBDIR)/ashmem

SECTIONS += RUN RUN_SO RUN_MAN
RUN_DIR = $(BINDIR)
RUN_FILES = $(RUN)
RUN_MODE = 755
RUN_SO_DIR = $(RUN_INSTALLED)
RUN_SO_FILES = $(RUN_SO)
RUN_SO_MODE = 755
RUN_MAN_DIR = $(MANDIR)/man1
RUN_MAN_FILES = $(RUN_TOP)/ashmem-run.1

all: $(RUN) $(RUN_SO)

# The hooks have libc's types as they are, and define what headers may define inline.
RUN_CPPFLAGS := -I$(TOP)/include -D_GNU_SOURCE
RUN_CFLAGS = $(LIB_CFLAGS) -fPIC -fno-lto -fno-builtin -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=0

$(BUILD)/obj/compat/run/%.o: $(RUN_TOP)/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(RUN_CPPFLAGS),$(RUN_CFLAGS),$(RUN_MORE))

$(BUILD)/obj/compat/run/hooks_time64.o: RUN_MORE := -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64

$(RUN_WITHIN): $(BUILD)/static/libashmem.o $(RUN_TOP)/redefine.syms
	@mkdir -p $(@D)
	$(Q)$(OBJCOPY) --redefine-syms=$(RUN_TOP)/redefine.syms $< $@

# Only the hooks are seen by others: the library's own functions would stand in front of a
# program's libashmem.
$(RUN_SO): $(RUN_OBJ) $(RUN_WITHIN) $(RUN_TOP)/ashmem-run.map
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -fno-lto -shared -pthread $(call try_ld,-Wl$(comma)-z$(comma)defs) \
		$(call try_ld,-Wl$(comma)-z$(comma)relro) $(call try_ld,-Wl$(comma)-z$(comma)now) \
		$(call try_ld,-Wl$(comma)-z$(comma)nodelete) \
		-Wl,-soname,ashmem-run.so -Wl,--version-script=$(RUN_TOP)/ashmem-run.map \
		$(LDFLAGS) -o $@ $(RUN_OBJ) $(RUN_WITHIN) $(LDLIBS) -ldl

# Where the launcher looks: it changes with PREFIX and LIBDIR, and with nothing else.
$(BUILD)/compat/run/installed.h: FORCE
	@mkdir -p $(@D)
	@printf '#define INSTALLED "%s"\n' '$(RUN_INSTALLED)' | cmp -s - $@ || \
		printf '#define INSTALLED "%s"\n' '$(RUN_INSTALLED)' >$@

$(RUN): $(RUN_TOP)/ashmem-run.c $(BUILD)/compat/run/installed.h $(FLAGS_FILE)
	$(call say,LD,$@)
	$(Q)$(CC) $(USER_CFLAGS) $(CPPFLAGS) $(WARNINGS) $(CFLAGS) -D_FILE_OFFSET_BITS=64 \
		-include $(BUILD)/compat/run/installed.h $(LDFLAGS) -o $@ $< $(LDLIBS)

-include $(wildcard $(BUILD)/obj/compat/run/*.d)

# ---------------------------------------------------------------- tests

# Programs that know nothing of the library, and the differential test of tests/vm, which the
# library of ashmem-run is loaded into. With other options they call libc by other names.
RUN_TESTS := $(patsubst $(TOP)/tests/run/%.c,$(BUILD)/tests/run/%,$(wildcard $(TOP)/tests/run/*.c))
RUN_TESTS_LARGE := $(addsuffix -large,$(RUN_TESTS))
RUN_TEST_FLAGS = -std=gnu11 -pthread $(WARNINGS) -Wno-nonnull -Wno-stringop-overflow \
	-I$(TOP)/tests/run $(CFLAGS)

$(RUN_TESTS): $(BUILD)/tests/run/%: $(TOP)/tests/run/%.c $(wildcard $(TOP)/tests/run/*.h) \
		$(FLAGS_FILE)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RUN_TEST_FLAGS) -U_FORTIFY_SOURCE $(LDFLAGS) -o $@ $<

$(RUN_TESTS_LARGE): $(BUILD)/tests/run/%-large: $(TOP)/tests/run/%.c \
		$(wildcard $(TOP)/tests/run/*.h) $(FLAGS_FILE)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RUN_TEST_FLAGS) -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 \
		-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 $(LDFLAGS) -o $@ $<

RUN_DIFFERENTIAL := $(BUILD)/tests/run/differential
$(RUN_DIFFERENTIAL): $(wildcard $(TOP)/tests/vm/programs/differential*) \
		$(TOP)/tests/support/model.c $(STATIC)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CPPFLAGS) -I$(TOP)/tests/vm/programs $(USER_CFLAGS) $(WARNINGS) $(CFLAGS) \
		$(LDFLAGS) -o $@ $(filter %.c,$^) $(STATIC)

.PHONY: run-tests
run-tests: $(RUN) $(RUN_SO) $(RUN_TESTS) $(RUN_TESTS_LARGE) $(RUN_DIFFERENTIAL)

.PHONY: check-run
check-run: run-tests ## Run programs that were written for the driver under ashmem-run, and \
	compare with what the driver answered (SHORT=1 without i386; with the driver: check-vm)
	@$(SCRIPT_ENV) $(TOP)/tests/run/check
