# SPDX-License-Identifier: MIT
#
# The benchmark, one program from all of bench/.

BENCH_SRC := $(sort $(wildcard $(TOP)/bench/*.c))
BENCH_OBJ := $(call object,obj,$(BENCH_SRC))
BENCH := $(BUILD)/bench/bench
BENCH_ARGS ?=

$(BUILD)/obj/bench/%.o: $(TOP)/bench/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS) -I$(TOP)/compat/cutils/include,$(USER_CFLAGS))

# By its name: compat/cutils/rules.mk, which has the variable, is read later.
$(BENCH): $(BENCH_OBJ) $(BUILD)/libashmem-cutils.a $(STATIC)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(call link,$(BENCH_OBJ) $(CUTILS_STATIC) $(STATIC) -lm)

.PHONY: bench
bench: $(BENCH) $(BUILD)/compat/run/ashmem-run.so ## Measure, as ratios to system calls \
	(BENCH_ARGS=--help)
	$(BENCH) $(BENCH_ARGS)

# What is measured beside the library, where its header is there.
has_header = $(shell printf '\043include <$(1)>' | $(CC) $(CPPFLAGS) -E -xc - >/dev/null 2>&1 && \
	echo '$(2)')
PEERS := $(BUILD)/bench/peers/peers
PEERS_FLAGS = $(call has_header,lmdb.h,-DHAVE_LMDB) $(call has_header,sqlite3.h,-DHAVE_SQLITE)
PEERS_LIBS = $(call has_header,lmdb.h,-llmdb) $(call has_header,sqlite3.h,-lsqlite3)

$(PEERS): $(wildcard $(TOP)/bench/peers/*.[ch]) $(FLAGS_FILE) $(STATIC)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LIB_CPPFLAGS) $(CPPFLAGS) $(PEERS_FLAGS) $(WARNINGS) $(USER_CFLAGS) $(CFLAGS) \
		$(LDFLAGS) -pthread -o $@ $(filter %.c,$^) $(STATIC) $(PEERS_LIBS) $(LDLIBS) -lm

.PHONY: bench-peers
bench-peers: $(PEERS) ## Measure caches beside memcached, Redis, LMDB and SQLite \
	(`.ci/deps peers`; what is missing is skipped)
	$(PEERS)

.PHONY: bench-vm
bench-vm: ## Measure against the real ashmem driver in QEMU (needs `make deps-vm`)
	@$(SCRIPT_ENV) $(TOP)/tests/vm/check numbers

.PHONY: check-instructions
check-instructions: $(BENCH) ## Compare instruction counts of the hot paths with the \
	recorded bounds (gcc, x86-64, valgrind)
	@$(SCRIPT_ENV) $(TOP)/bench/instructions.sh $(BENCH)

-include $(wildcard $(patsubst %.o,%.d,$(BENCH_OBJ)))
