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
bench: $(BENCH) ## Measure, as ratios to system calls (BENCH_ARGS=--help)
	$(BENCH) $(BENCH_ARGS)

.PHONY: bench-vm
bench-vm: ## Measure against the real ashmem driver in QEMU (needs `make deps-vm`)
	@$(SCRIPT_ENV) $(TOP)/tests/vm/check numbers

.PHONY: check-instructions
check-instructions: $(BENCH) ## Compare instruction counts of the hot paths with the \
	recorded bounds (gcc, x86-64, valgrind)
	@$(SCRIPT_ENV) $(TOP)/bench/instructions.sh $(BENCH)

-include $(wildcard $(patsubst %.o,%.d,$(BENCH_OBJ)))
