# SPDX-License-Identifier: MIT
#
# The test programs, and everything that checks.

# T names test programs to run (T="test_range test_lock"), FILTER the tests in them
# (FILTER='range/*').
T ?=
FILTER ?=
# SHORT=1 builds everything and runs less: of the test programs those of the interface, and under
# valgrind a few of these.
SHORT ?=

SUPPORT_SRC := $(sort $(wildcard $(TOP)/tests/support/*.c))
CRITERION_SRC := $(sort $(wildcard $(TOP)/tests/test_*.c $(TOP)/tests/*/test_*.c))
CXX_SRC := $(if $(HAS_CXX),$(sort $(wildcard $(TOP)/tests/test_*.cpp $(TOP)/tests/*/test_*.cpp)))
PLAIN_SRC := $(sort $(wildcard $(addprefix $(TOP)/tests/,\
	stress_*.c race_*.c */stress_*.c */race_*.c)))

SUPPORT_OBJ := $(call object,obj,$(SUPPORT_SRC))
# Tests written against tests/support/contract.h can also be linked into one program without
# Criterion.
CONTRACT_SRC := $(shell grep -ls '"support/contract.h"' $(CRITERION_SRC) /dev/null)
CONTRACT_OBJ := $(call object,contract,$(CONTRACT_SRC) $(SUPPORT_SRC))
CONTRACT := $(BUILD)/contract/contract
CRITERION_TESTS := $(call program,$(CRITERION_SRC))
PLAIN_TESTS := $(call program,$(PLAIN_SRC))
CXX_TESTS := $(patsubst $(TOP)/%.cpp,$(BUILD)/%,$(CXX_SRC))
TESTS := $(CRITERION_TESTS) $(PLAIN_TESTS) $(CXX_TESTS)

TEST_CPPFLAGS := $(LIB_CPPFLAGS) -I$(TOP)/lib -I$(TOP)/tests

$(BUILD)/obj/tests/%.o: $(TOP)/tests/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(TEST_CPPFLAGS),$(USER_CFLAGS))

# An archive, so that a program takes only the helpers that it calls (after Criterion, which brings
# main).
$(BUILD)/tests/libsupport.a: $(SUPPORT_OBJ)
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $(SUPPORT_OBJ)

$(BUILD)/obj/tests/%.o: $(TOP)/tests/%.cpp $(FLAGS_FILE)
	$(call say,CXX,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile_cxx,$(TEST_CPPFLAGS))

$(CXX_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(BUILD)/tests/libsupport.a $(STATIC_OBJ)
	$(call say,LD,$@)
	$(Q)$(call link_cxx,$< -lcriterion $(BUILD)/tests/libsupport.a $(STATIC_OBJ))

$(CRITERION_TESTS): TEST_LIBS := -lcriterion
$(CRITERION_TESTS) $(PLAIN_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o \
		$(BUILD)/tests/libsupport.a $(STATIC_OBJ)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(call link,$< $(TEST_LIBS) $(BUILD)/tests/libsupport.a $(STATIC_OBJ))

# The tests of the interface without Criterion: for the thread sanitizer, and as a static program
# for other systems.
$(BUILD)/contract/tests/%.o: $(TOP)/tests/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(TEST_CPPFLAGS) -DPLAIN_RUNNER,$(USER_CFLAGS))

$(CONTRACT): $(CONTRACT_OBJ) $(STATIC_OBJ)
	$(call say,LD,$@)
	$(Q)$(call link,$(CONTRACT_OBJ) $(STATIC_OBJ))

$(CONTRACT)-static: $(CONTRACT_OBJ) $(STATIC_OBJ)
	$(call say,LD,$@)
	$(Q)$(call link,-static $(CONTRACT_OBJ) $(STATIC_OBJ))

.PHONY: contract
contract: $(CONTRACT) $(CONTRACT)-static ## Build the interface's tests as programs without \
	Criterion, dynamic and static

RUN_MODE ?= plain
ifeq ($(RUN_MODE),tsan)
TESTS := $(PLAIN_TESTS) $(if $(CONTRACT_SRC),$(CONTRACT))
endif
ifneq ($(RUN_MODE),tsan)
LEFT_OUT := $(if $(CXX_SRC),,$(if $(filter cpp test_cpp,$(or $(T),cpp)),\
	test_cpp: no C++ compiler $(CXX) (make deps)))
endif
named = $(filter $(addprefix %/,$(1)) $(addprefix %/test_,$(1)),$(TESTS))
RUN_TESTS := $(TESTS)
ifneq ($(T),)
RUN_TESTS := $(call named,$(T))
else ifeq ($(SHORT)-$(RUN_MODE),1-valgrind)
RUN_TESTS := $(call named,$(addprefix contract_,life pin names map fork))
else ifeq ($(SHORT)-$(RUN_MODE),1-plain)
RUN_TESTS := $(foreach t,$(TESTS),$(if $(filter test_contract_% test_cpp,$(notdir $(t))),$(t)))
check: $(TESTS)
endif

.PHONY: tests
tests: $(TESTS) ## Build the test programs without running them

.PHONY: check
check: $(RUN_TESTS) ## Run all tests (needs `make deps` once); T=test_range and \
	FILTER='suite/*' choose some
	@MODE=$(RUN_MODE) FILTER='$(FILTER)' LEFT_OUT='$(LEFT_OUT)' LOGS=$(BUILD)/logs \
		$(TOP)/tests/run_criterion.sh $(RUN_TESTS)

# Each variant is the same tests in a build directory of its own, with other settings.
run_variant = +@$(MAKE) --no-print-directory -f $(MAKEFILE) BUILD=$(BUILD)/$(1) $(VARIANT) check
SANITIZE := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all

.PHONY: check-asan
check-asan: VARIANT = RUN_MODE=asan CFLAGS='$(SANITIZE) -fsanitize=address,undefined'
check-asan: ## Run the tests under the address, leak and undefined-behaviour sanitizers
	$(call run_variant,asan)

.PHONY: check-tsan
check-tsan: VARIANT = RUN_MODE=tsan CFLAGS='$(SANITIZE) -fsanitize=thread'
check-tsan: ## Run the stress, race and interface tests under the thread sanitizer \
	(Criterion does not work there)
	$(call run_variant,tsan)

.PHONY: check-valgrind
check-valgrind: VARIANT = RUN_MODE=valgrind CFLAGS='-O1 -g'
check-valgrind: ## Run the tests under valgrind
	$(call run_variant,valgrind)

.PHONY: check-ndebug
check-ndebug: VARIANT = CPPFLAGS='$(CPPFLAGS) -DNDEBUG'
check-ndebug: ## Run the tests with assertions compiled out, as distributions build
	$(call run_variant,ndebug)

.PHONY: check-crash
check-crash: ## Kill a process at every instruction of every shared operation (ptrace; \
	DEEP=1 does more)
	@$(SCRIPT_ENV) $(TOP)/tests/crash/check

.PHONY: prove-crash
prove-crash: ## Show that check-crash fails when a protection is taken out of the library
	@$(SCRIPT_ENV) $(TOP)/tests/crash/prove

.PHONY: check-faults
check-faults: ## Make every call of libc and the kernel fail once, in every public \
	operation, with each plausible error
	@$(SCRIPT_ENV) OBJCOPY='$(OBJCOPY)' $(TOP)/tests/faults/check

.PHONY: prove-faults
prove-faults: ## Show that check-faults notices error paths that do too little, or too late
	@$(SCRIPT_ENV) OBJCOPY='$(OBJCOPY)' $(TOP)/tests/faults/prove

.PHONY: prove-cache
prove-cache: ## Show that the tests of caches fail when a protection is taken out
	@$(SCRIPT_ENV) $(TOP)/tests/cache/prove

.PHONY: check-model
check-model: ## Explore the models of lock, purge, birth and cache, and see planted faults found \
	(spin; DEEP=1 for one more death)
	@$(SCRIPT_ENV) $(TOP)/tests/model/check

.PHONY: check-hostile
check-hostile: ## Let peers write anything into the shared state while others use it; fuzz \
	it (FUZZ_SECONDS=60, HOSTILE_MS=120)
	@$(SCRIPT_ENV) $(TOP)/tests/hostile/check

.PHONY: fuzz
fuzz: ## Fuzz the control block and what reads the system's text, each for FUZZ_SECONDS (3600)
	@$(SCRIPT_ENV) FUZZ_SECONDS=$${FUZZ_SECONDS:-3600} $(TOP)/tests/hostile/check fuzz

.PHONY: prove-hostile
prove-hostile: ## Show that check-hostile fails when a protection is taken out of the library
	@$(SCRIPT_ENV) $(TOP)/tests/hostile/prove

.PHONY: check-pressure
check-pressure: ## Fill caches under real memory limits, here and in QEMU: no kill, no wrong \
	byte (`make deps-vm`; DEEP=1 does more)
	@$(SCRIPT_ENV) $(TOP)/tests/pressure/check

.PHONY: pressure-docs
pressure-docs: ## Write the tables and the picture of docs/pressure.md from the last \
	check-pressure
	@$(TOP)/tests/pressure/draw.py $(abspath $(BUILD)) $(TOP)/docs

.PHONY: check-daemon
check-daemon: all ## Let ashmemd purge under real memory limits, beside hostile areas; check its \
	units and manual page (DEEP=1 does more)
	@$(SCRIPT_ENV) $(TOP)/tests/daemon/check

.PHONY: check-systemd
check-systemd: ## Start ashmemd's units in a small Debian that systemd runs, in QEMU (needs root \
	and `make deps-systemd`)
	@$(SCRIPT_ENV) $(TOP)/tests/daemon/systemd/check

.PHONY: check-vm
check-vm: ## Compare both backends with the real ashmem driver, and run on other kernels, in \
	QEMU (needs `make deps-vm`; DEEP=1 does more)
	@$(SCRIPT_ENV) $(TOP)/tests/vm/check

.PHONY: check-vm-harness
check-vm-harness: ## Test the QEMU harness of tests/vm on every kernel (needs its packages, \
	see tests/vm/README.md)
	@$(SCRIPT_ENV) $(TOP)/tests/vm/selftest

.PHONY: check-cross
check-cross: ## Build and test on every platform: processors, compilers, musl, Linux 4.14, \
	ways to link (needs `make deps-cross`; DEEP=1 does more)
	@BUILD='$(abspath $(BUILD))' SHORT='$(SHORT)' $(TOP)/tests/cross/check

.PHONY: check-headers
check-headers: ## Compile each header alone as C99, C11 and C++11 (C++ ones up to C++20); \
	check that any language can call it
	@$(SCRIPT_ENV) $(TOP)/tests/check_headers.sh

.PHONY: check-exports
check-exports: all ## Compare exported symbols, version script and headers, both ways
	@$(SCRIPT_ENV) $(TOP)/tests/check_exports.sh

.PHONY: check-install
check-install: ## Install into a scratch prefix, build programs against it, uninstall
	@$(SCRIPT_ENV) $(TOP)/tests/check_install.sh

.PHONY: check-tools
check-tools: all ## Run the tools on a process that holds areas
	@$(SCRIPT_ENV) $(TOP)/tests/check_tools.sh

.PHONY: check-compat
check-compat: check-cutils check-run ## Run what checks the doors for Android code

.PHONY: check-examples
check-examples: ## Build each example, and each program of the guide, against an installed \
	tree through pkg-config, and run it
	@$(SCRIPT_ENV) $(TOP)/tests/check_examples.sh

.PHONY: check-docs
check-docs: ## Build site and man pages with warnings as errors; lint them; check links, contents, \
	search, figures that stand twice, and that two builds are the same
	@$(SCRIPT_ENV) $(TOP)/tests/check_docs.sh

.PHONY: check-layers
check-layers: $(STATIC_OBJ) ## See that includes and calls go down through the rooms of lib/
	@$(SCRIPT_ENV) $(TOP)/tests/check_layers.sh

.PHONY: check-style
check-style: $(STATIC_OBJ) ## Static analysis and form: clang-tidy, cppcheck, gcc -fanalyzer, \
	check-layers, shellcheck, clang-format, lines up to 100 columns, licence lines
	@$(SCRIPT_ENV) $(TOP)/tests/check_style.sh

-include $(wildcard $(patsubst %.o,%.d,$(SUPPORT_OBJ) $(CONTRACT_OBJ)) \
	$(BUILD)/obj/tests/*.d $(BUILD)/obj/tests/*/*.d)
