# SPDX-License-Identifier: MIT
#
# Builds libashmem with GNU make and a C compiler; `make help` lists the targets.
#
# Everything that is made goes below $(BUILD), by default `build` in the directory make is run in, so
# `make -f /path/to/libashmem/Makefile` and `make BUILD=/tmp/b` leave the source tree as it is.
# Tests link the library's plain objects and can reach its internal functions; everybody else links
# libashmem.a or libashmem.so, which export the functions that lib/libashmem.map lists and nothing else.

MAKEFILE := $(lastword $(MAKEFILE_LIST))
TOP := $(patsubst %/,%,$(dir $(MAKEFILE)))
BUILD ?= build

# ---------------------------------------------------------------- what the caller can set

# make's own defaults would win over ?=, so replace only those.
ifeq ($(origin CC),default)
CC := $(CROSS_COMPILE)gcc
endif
# C++ is for tests alone, which do without if there is none.
ifeq ($(origin CXX),default)
CXX := $(if $(findstring clang,$(CC)),$(subst clang,clang++,$(CC)),$(CROSS_COMPILE)g++)
endif
# The compiler knows the tools for its target.
tool = $(or $(shell $(CC) -print-prog-name=$(1) 2>/dev/null),$(CROSS_COMPILE)$(1))
ifeq ($(origin AR),default)
AR := $(call tool,ar)
endif
OBJCOPY ?= $(call tool,objcopy)
NM ?= $(call tool,nm)
PKG_CONFIG ?= pkg-config
INSTALL ?= install
DOXYGEN ?= doxygen

CFLAGS ?= -O2 -g
CXXFLAGS ?= $(CFLAGS)

DESTDIR ?=
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
CMAKEDIR ?= $(LIBDIR)/cmake/ashmem

# T names test programs to run (T="test_range test_lock"), FILTER the tests in them (FILTER='range/*').
T ?=
FILTER ?=
DEMO_ARGS ?=
BENCH_ARGS ?=

ifneq ($(V),1)
Q := @
ifeq ($(findstring s,$(firstword -$(MAKEFLAGS))),)
say = @printf '  %-8s %s\n' $(1) $(2)
endif
endif

# ---------------------------------------------------------------- names

VERSION_H := $(TOP)/include/ashmem/version.h
version_part = $(shell sed -n 's/^\#define ASHMEM_VERSION_$(1) \([0-9][0-9]*\)$$/\1/p' $(VERSION_H))
VERSION := $(call version_part,MAJOR).$(call version_part,MINOR).$(call version_part,PATCH)

# The ABI number goes up when a function is taken away or changes its meaning, and only then.
ABI := 1
LINKNAME := libashmem.so
SONAME := $(LINKNAME).$(ABI)
REALNAME := $(SONAME).$(VERSION)

HEADERS := $(wildcard $(TOP)/include/ashmem/*.h $(TOP)/include/ashmem/*.hpp)
MAP := $(TOP)/lib/libashmem.map
FUNCTIONS := $(shell sed -n 's/^[[:space:]]*\(ashmem_[a-z0-9_]*\);.*/\1/p' $(MAP))
GROUPS := $(shell sed -n 's/.*@defgroup \(ashmem_[a-z0-9_]*\).*/\1/p' $(HEADERS))

SHARED := $(BUILD)/$(REALNAME)
STATIC := $(BUILD)/libashmem.a
PC := $(BUILD)/libashmem.pc
CMAKE := $(BUILD)/cmake/ashmem-config.cmake $(BUILD)/cmake/ashmem-config-version.cmake
MANPAGES := $(addprefix $(BUILD)/docs/man/man3/,$(addsuffix .3,$(sort $(FUNCTIONS) $(GROUPS) libashmem)))

# What install and uninstall walk: for each section where, what, with which mode, and links as name:target.
SECTIONS := HEADERS SHARED STATIC PC CMAKE TOOLS TOOLS_MAN MAN
HEADERS_DIR = $(INCLUDEDIR)/ashmem
HEADERS_FILES = $(HEADERS)
SHARED_DIR = $(LIBDIR)
SHARED_FILES = $(SHARED)
SHARED_MODE = 755
SHARED_LINKS = $(SONAME):$(REALNAME) $(LINKNAME):$(SONAME)
STATIC_DIR = $(LIBDIR)
STATIC_FILES = $(STATIC)
PC_DIR = $(PKGCONFIGDIR)
PC_FILES = $(PC)
CMAKE_DIR = $(CMAKEDIR)
CMAKE_FILES = $(CMAKE)
TOOLS_DIR = $(BINDIR)
TOOLS_FILES = $(TOOLS)
TOOLS_MODE = 755
TOOLS_MAN_DIR = $(MANDIR)/man1
TOOLS_MAN_FILES = $(sort $(wildcard $(TOP)/tools/*.1))
MAN_DIR = $(MANDIR)/man3
MAN_FILES = $(MANPAGES)

LIB_SRC := $(sort $(wildcard $(TOP)/lib/*/*.c))
SUPPORT_SRC := $(sort $(wildcard $(TOP)/tests/support/*.c))
CRITERION_SRC := $(sort $(wildcard $(TOP)/tests/test_*.c $(TOP)/tests/*/test_*.c))
HAS_CXX := $(shell command -v $(firstword $(CXX)) 2>/dev/null)
CXX_SRC := $(if $(HAS_CXX),$(sort $(wildcard $(TOP)/tests/test_*.cpp)))
PLAIN_SRC := $(sort $(wildcard $(addprefix $(TOP)/tests/,stress_*.c race_*.c */stress_*.c */race_*.c)))
# examples/NAME.c, examples/NAME/*.c, or both, make one program.
EXAMPLE_NAMES := $(sort $(basename $(notdir $(wildcard $(TOP)/examples/*.c))) \
	$(notdir $(patsubst %/,%,$(dir $(wildcard $(TOP)/examples/*/*.c)))))
# What an example needs besides; without it, make leaves the example out.
NEEDS_glib_loop := glib-2.0
EXAMPLE_NAMES := $(foreach e,$(EXAMPLE_NAMES),$(if $(NEEDS_$(e)),$(shell $(PKG_CONFIG) --exists $(NEEDS_$(e)) \
	2>/dev/null && echo $(e)),$(e)))
CXX_EXAMPLES := $(if $(HAS_CXX),$(patsubst $(TOP)/%.cpp,$(BUILD)/%,$(wildcard $(TOP)/examples/*.cpp)))
needs = $(if $(NEEDS_$*),$(shell $(PKG_CONFIG) $(1) $(NEEDS_$*)))
BENCH_SRC := $(sort $(wildcard $(TOP)/bench/*.c))

# build/static/lib/area.o, build/pic/lib/area.o, build/obj/tests/test_area.o, ...
object = $(patsubst $(TOP)/%.c,$(BUILD)/$(1)/%.o,$(2))
STATIC_OBJ := $(call object,static,$(LIB_SRC))
PIC_OBJ := $(call object,pic,$(LIB_SRC))
SUPPORT_OBJ := $(call object,obj,$(SUPPORT_SRC))
BENCH_OBJ := $(call object,obj,$(BENCH_SRC))
program = $(patsubst $(TOP)/%.c,$(BUILD)/%,$(1))
# Tests written against tests/support/contract.h can also be linked into one program without Criterion.
CONTRACT_SRC := $(shell grep -ls '"support/contract.h"' $(CRITERION_SRC) /dev/null)
CONTRACT_OBJ := $(call object,contract,$(CONTRACT_SRC) $(SUPPORT_SRC))
CONTRACT := $(BUILD)/contract/contract
CRITERION_TESTS := $(call program,$(CRITERION_SRC))
PLAIN_TESTS := $(call program,$(PLAIN_SRC))
CXX_TESTS := $(patsubst $(TOP)/%.cpp,$(BUILD)/%,$(CXX_SRC))
TESTS := $(CRITERION_TESTS) $(PLAIN_TESTS) $(CXX_TESTS)
EXAMPLES := $(addprefix $(BUILD)/examples/,$(EXAMPLE_NAMES))
BENCH := $(BUILD)/bench/bench
TOOLS := $(call program,$(sort $(wildcard $(TOP)/tools/*.c)))

# ---------------------------------------------------------------- flags

# 64-bit off_t and time_t everywhere; on 64-bit systems the two macros change nothing.
LIB_CPPFLAGS := -I$(TOP)/include -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
LIB_CFLAGS := -std=gnu11 -pthread -fvisibility=hidden
TEST_CPPFLAGS := $(LIB_CPPFLAGS) -I$(TOP)/lib -I$(TOP)/tests
USER_CFLAGS := -std=gnu11 -pthread
WARNINGS := -Wall -Wextra
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

# -Bsymbolic-functions: a program may export a copy of the library; ours must not call into that one.
try_ld = $(shell printf 'int x;' | $(CC) $(CFLAGS) $(LDFLAGS) -shared -nostdlib -fPIC -xc - \
	-o /dev/null -Wl,--fatal-warnings $(1) >/dev/null 2>&1 && printf '%s' '$(1)')
SHARED_LDFLAGS = -shared -pthread -Wl,-soname,$(SONAME) -Wl,--version-script=$(MAP) \
	$(call try_ld,-Wl$(comma)-z$(comma)defs) $(call try_ld,-Wl$(comma)-z$(comma)now) \
	$(call try_ld,-Wl$(comma)-z$(comma)relro) $(call try_ld,-Wl$(comma)--no-undefined-version) \
	$(call try_ld,-Wl$(comma)-Bsymbolic-functions)
comma := ,

compile = $(CC) $(1) $(CPPFLAGS) $(WARNINGS) $(2) $(CFLAGS) $(3) -MMD -MP -c -o $@ $<
link = $(CC) $(USER_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $(1) $(LDLIBS)
compile_cxx = $(CXX) $(1) $(CPPFLAGS) $(WARNINGS) -std=c++11 -pthread $(CXXFLAGS) -MMD -MP -c -o $@ $<
link_cxx = $(CXX) -pthread $(CFLAGS) $(CXXFLAGS) $(LDFLAGS) -o $@ $(1) $(LDLIBS)

# Says what is visible.
EXPORTS_H := $(TOP)/lib/exports.h
LIB_CPPFLAGS_EXPORTS = $(LIB_CPPFLAGS) -I$(TOP)/lib -include $(EXPORTS_H)

# Changed flags rebuild everything: this file changes when they do.
FLAGS := $(CC) | $(AR) | $(CXX) | $(CXXFLAGS) | $(CPPFLAGS) | $(CFLAGS) | $(LDFLAGS) | $(LDLIBS) | $(WARNINGS) | $(VERSION)
FLAGS_FILE := $(BUILD)/flags

# ---------------------------------------------------------------- the library

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: all
all: $(SHARED) $(BUILD)/$(SONAME) $(BUILD)/$(LINKNAME) $(STATIC) $(PC) $(CMAKE) $(TOOLS) ## Build the library, shared and static, and the tools (default)

.PHONY: FORCE
$(FLAGS_FILE): FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(FLAGS))' >$@

$(BUILD)/pic/%.o: $(TOP)/%.c $(FLAGS_FILE) $(EXPORTS_H)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS_EXPORTS),$(LIB_CFLAGS),-fPIC)

# Without LTO: symbols are made local below, which works on machine code only. -fPIC: it goes into shared objects too.
$(BUILD)/static/%.o: $(TOP)/%.c $(FLAGS_FILE) $(EXPORTS_H)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS_EXPORTS),$(LIB_CFLAGS),-fPIC -fno-lto)

$(SHARED): $(PIC_OBJ) $(MAP)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SHARED_LDFLAGS) $(LDFLAGS) -o $@ $(PIC_OBJ) $(LDLIBS)

$(BUILD)/$(SONAME): $(SHARED)
	$(Q)ln -sf $(REALNAME) $@

$(BUILD)/$(LINKNAME): $(BUILD)/$(SONAME)
	$(Q)ln -sf $(SONAME) $@

# One object, its hidden symbols made local: users of the archive can neither call nor collide with internals. What the
# compiler shares between objects (i386: __x86.get_pc_thunk.*) must leave its group, or the linker would drop ours for another's.
leave_groups = $(shell printf 'int x;' | $(CC) -nostdlib -r -xc - -o /dev/null -Wl,--force-group-allocation \
	>/dev/null 2>&1 && printf '%s' -Wl,--force-group-allocation)
$(BUILD)/static/libashmem.o: $(STATIC_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -fno-lto -nostdlib -r $(leave_groups) -o $@ $(STATIC_OBJ)
	$(Q)$(OBJCOPY) --localize-hidden $@

$(STATIC): $(BUILD)/static/libashmem.o
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $<

$(PC): $(TOP)/pkgconfig/libashmem.pc.in $(VERSION_H) FORCE
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' \
		-e 's|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR:$(PREFIX)/%=$${prefix}/%)|' $< >$@.new
	@cmp -s $@.new $@ && rm -f $@.new || mv -f $@.new $@

# What a pointer takes, so that CMake does not offer the library to programs of the other width.
pointer_bytes = $(shell printf '__SIZEOF_POINTER__' | $(CC) $(CPPFLAGS) $(CFLAGS) -E -P -xc - 2>/dev/null | tail -n 1)
# ../../include, so that an installed tree can be moved.
include_from_lib = $(subst $() ,/,$(patsubst %,..,$(subst /, ,$(LIBDIR:$(PREFIX)/%=%))))/$(INCLUDEDIR:$(PREFIX)/%=%)

$(BUILD)/cmake/%: $(TOP)/cmake/%.in $(VERSION_H) FORCE
	@mkdir -p $(@D)
	@sed -e 's|@VERSION@|$(VERSION)|g' -e 's|@MAJOR@|$(call version_part,MAJOR)|' -e 's|@SONAME@|$(SONAME)|' \
		-e 's|@REALNAME@|$(REALNAME)|' -e 's|@POINTER_BYTES@|$(pointer_bytes)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@INCLUDE_FROM_LIB@|$(include_from_lib)|' $< >$@.new
	@cmp -s $@.new $@ && rm -f $@.new || mv -f $@.new $@

# ---------------------------------------------------------------- installing

.PHONY: install
install: all ## Install below PREFIX (/usr/local); also DESTDIR LIBDIR INCLUDEDIR BINDIR MANDIR; man pages if they were built
	$(foreach s,$(SECTIONS),$(call install_section,$(s)))
	@# A library that the loader's cache does not know is not found; packagers set DESTDIR and do this themselves.
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then ldconfig 2>/dev/null || :; fi

.PHONY: uninstall
uninstall: ## Take away what install put there (give the same variables)
	$(foreach s,$(SECTIONS),$(call uninstall_section,$(s)))
	-$(Q)rmdir $(DESTDIR)$(HEADERS_DIR) $(DESTDIR)$(CMAKE_DIR) 2>/dev/null || :

# Only man pages can be missing: everything else was just built.
define install_section
	$(Q)files='$(wildcard $($(1)_FILES))'; [ -z "$$files" ] || { $(INSTALL) -d '$(DESTDIR)$($(1)_DIR)' && \
		$(INSTALL) -m $(or $($(1)_MODE),644) $$files '$(DESTDIR)$($(1)_DIR)/'; }
	$(Q)for l in $($(1)_LINKS); do ln -sf "$${l#*:}" '$(DESTDIR)$($(1)_DIR)/'"$${l%%:*}"; done

endef
define uninstall_section
	$(Q)for f in $(notdir $($(1)_FILES)) $(foreach l,$($(1)_LINKS),$(firstword $(subst :, ,$(l)))); do \
		rm -f '$(DESTDIR)$($(1)_DIR)/'"$$f"; done

endef

# ---------------------------------------------------------------- examples, demo, benchmark

.SECONDEXPANSION:

$(BUILD)/obj/examples/%.o: $(TOP)/examples/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS) $(call needs,--cflags),$(USER_CFLAGS))

$(EXAMPLES): $(BUILD)/examples/%: \
		$$(call object,obj,$$(sort $$(wildcard $(TOP)/examples/$$*.c $(TOP)/examples/$$*/*.c))) $(STATIC)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(call link,$(filter %.o,$^) $(STATIC) $(call needs,--libs))

$(BUILD)/obj/examples/%.o: $(TOP)/examples/%.cpp $(FLAGS_FILE)
	$(call say,CXX,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile_cxx,$(LIB_CPPFLAGS))

$(CXX_EXAMPLES): $(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(STATIC)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(call link_cxx,$< $(STATIC))

.PHONY: examples
examples: $(EXAMPLES) $(CXX_EXAMPLES) ## Build the programs in examples/

.PHONY: demo
demo: $(BUILD)/examples/filecache ## Show purgeable memory at work on real files (DEMO_ARGS=/some/directory)
	$(BUILD)/examples/filecache $(DEMO_ARGS)

$(BUILD)/obj/tools/%.o: $(TOP)/tools/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS),$(USER_CFLAGS))

# The tools use the shared library, as other programs do: below build/ they run with LD_LIBRARY_PATH=build.
$(TOOLS): $(BUILD)/tools/%: $(BUILD)/obj/tools/%.o $(BUILD)/$(LINKNAME)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(call link,$< -L$(BUILD) -lashmem)

$(BUILD)/obj/bench/%.o: $(TOP)/bench/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS),$(USER_CFLAGS))

$(BENCH): $(BENCH_OBJ) $(STATIC)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(call link,$(BENCH_OBJ) $(STATIC) -lm)

.PHONY: bench
bench: $(BENCH) ## Measure, as ratios to system calls (BENCH_ARGS=--help)
	$(BENCH) $(BENCH_ARGS)

.PHONY: bench-vm
bench-vm: ## Measure against the real ashmem driver in QEMU (needs `make deps-vm`)
	@$(SCRIPT_ENV) $(TOP)/tests/vm/check numbers

.PHONY: check-instructions
check-instructions: $(BENCH) ## Compare instruction counts of the hot paths with the recorded bounds (gcc, x86-64, valgrind)
	@$(SCRIPT_ENV) $(TOP)/bench/instructions.sh $(BENCH)

# ---------------------------------------------------------------- tests

$(BUILD)/obj/tests/%.o: $(TOP)/tests/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(TEST_CPPFLAGS),$(USER_CFLAGS))

# An archive, so that a program takes only the helpers that it calls (behind Criterion, which brings main).
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
$(CRITERION_TESTS) $(PLAIN_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(BUILD)/tests/libsupport.a $(STATIC_OBJ)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(call link,$< $(TEST_LIBS) $(BUILD)/tests/libsupport.a $(STATIC_OBJ))

# The tests of the interface without Criterion: for the thread sanitizer, and as a static program for other systems.
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
contract: $(CONTRACT) $(CONTRACT)-static ## Build the interface's tests as programs without Criterion, dynamic and static

RUN_MODE ?= plain
ifeq ($(RUN_MODE),tsan)
TESTS := $(PLAIN_TESTS) $(if $(CONTRACT_SRC),$(CONTRACT))
endif
ifneq ($(RUN_MODE),tsan)
LEFT_OUT := $(if $(CXX_SRC),,$(if $(filter cpp test_cpp,$(or $(T),cpp)),test_cpp: no C++ compiler $(CXX) (make deps)))
endif
RUN_TESTS := $(if $(T),$(filter $(addprefix %/,$(T)) $(addprefix %/test_,$(T)),$(TESTS)),$(TESTS))

.PHONY: tests
tests: $(TESTS) ## Build the test programs without running them

.PHONY: check
check: $(RUN_TESTS) ## Run all tests (needs `make deps` once); T=test_range and FILTER='suite/*' choose some
	@MODE=$(RUN_MODE) FILTER='$(FILTER)' LEFT_OUT='$(LEFT_OUT)' LOGS=$(BUILD)/logs $(TOP)/tests/run_criterion.sh $(RUN_TESTS)

# Each variant is the same tests in a build directory of its own, with other settings.
run_variant = +@$(MAKE) --no-print-directory -f $(MAKEFILE) BUILD=$(BUILD)/$(1) $(VARIANT) check
SANITIZE := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all

.PHONY: check-asan
check-asan: VARIANT = RUN_MODE=asan CFLAGS='$(SANITIZE) -fsanitize=address,undefined'
check-asan: ## Run the tests under the address, leak and undefined-behaviour sanitizers
	$(call run_variant,asan)

.PHONY: check-tsan
check-tsan: VARIANT = RUN_MODE=tsan CFLAGS='$(SANITIZE) -fsanitize=thread'
check-tsan: ## Run the stress, race and interface tests under the thread sanitizer (Criterion does not work there)
	$(call run_variant,tsan)

.PHONY: check-valgrind
check-valgrind: VARIANT = RUN_MODE=valgrind CFLAGS='-O1 -g'
check-valgrind: ## Run the tests under valgrind
	$(call run_variant,valgrind)

.PHONY: check-ndebug
check-ndebug: VARIANT = CPPFLAGS='$(CPPFLAGS) -DNDEBUG'
check-ndebug: ## Run the tests with assertions compiled out, as distributions build
	$(call run_variant,ndebug)

SCRIPT_ENV = CC='$(CC)' CXX='$(CXX)' NM='$(NM)' PKG_CONFIG='$(PKG_CONFIG)' TOP='$(abspath $(TOP))' \
	BUILD='$(abspath $(BUILD))' CPPFLAGS='$(CPPFLAGS)' MAKE='$(MAKE)'

.PHONY: check-crash
check-crash: ## Kill a process at every instruction of every shared operation (ptrace; DEEP=1 does more)
	@$(SCRIPT_ENV) $(TOP)/tests/crash/check

.PHONY: prove-crash
prove-crash: ## Show that check-crash fails when a protection is taken out of the library
	@$(SCRIPT_ENV) $(TOP)/tests/crash/prove

.PHONY: check-faults
check-faults: ## Make every call of libc and the kernel fail once, in every public operation, with each plausible error
	@$(SCRIPT_ENV) OBJCOPY='$(OBJCOPY)' $(TOP)/tests/faults/check

.PHONY: prove-faults
prove-faults: ## Show that check-faults notices error paths that do too little, or too late
	@$(SCRIPT_ENV) OBJCOPY='$(OBJCOPY)' $(TOP)/tests/faults/prove

.PHONY: check-model
check-model: ## Explore the models of lock, purge and birth, and see planted faults found (spin; DEEP=1 for one more death)
	@$(SCRIPT_ENV) $(TOP)/tests/model/check

.PHONY: check-hostile
check-hostile: ## Let peers write anything into the shared state while others use it; fuzz it (FUZZ_SECONDS=60, HOSTILE_MS=120)
	@$(SCRIPT_ENV) $(TOP)/tests/hostile/check

.PHONY: fuzz
fuzz: ## Fuzz the control block and what reads the system's text, each for FUZZ_SECONDS (3600)
	@$(SCRIPT_ENV) FUZZ_SECONDS=$${FUZZ_SECONDS:-3600} $(TOP)/tests/hostile/check fuzz

.PHONY: prove-hostile
prove-hostile: ## Show that check-hostile fails when a protection is taken out of the library
	@$(SCRIPT_ENV) $(TOP)/tests/hostile/prove

.PHONY: check-pressure
check-pressure: ## Fill caches under real memory limits, here and in QEMU: no kill, no wrong byte (`make deps-vm`; DEEP=1 does more)
	@$(SCRIPT_ENV) $(TOP)/tests/pressure/check

.PHONY: check-vm
check-vm: ## Compare both backends with the real ashmem driver, and run on other kernels, in QEMU (needs `make deps-vm`; DEEP=1 does more)
	@$(SCRIPT_ENV) $(TOP)/tests/vm/check

.PHONY: check-vm-harness
check-vm-harness: ## Test the QEMU harness of tests/vm on every kernel (needs its packages, see tests/vm/README.md)
	@$(SCRIPT_ENV) $(TOP)/tests/vm/selftest

.PHONY: check-cross
check-cross: ## Build and test on every platform: processors, compilers, musl, Linux 4.14, ways to link (needs `make deps-cross`; DEEP=1 does more)
	@BUILD='$(abspath $(BUILD))' $(TOP)/tests/cross/check

.PHONY: check-headers
check-headers: ## Compile each header alone as C99, C11 and C++11 (C++ ones up to C++20); check that any language can call it
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

.PHONY: check-examples
check-examples: ## Build each example, and each program of the guide, against an installed tree through pkg-config, and run it
	@$(SCRIPT_ENV) $(TOP)/tests/check_examples.sh

.PHONY: check-style
check-style: ## Static analysis: clang-tidy, cppcheck, gcc -fanalyzer, shellcheck, licence lines
	@$(SCRIPT_ENV) $(TOP)/tests/check_style.sh

# ---------------------------------------------------------------- documents

AWESOME := /usr/share/doxygen-awesome-css/doxygen-awesome.css

.PHONY: docs
docs: $(TOP)/docs/Doxyfile ## Build HTML and man pages (needs doxygen); anything undocumented is an error
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
	$(Q)awk -v version=$(VERSION) -f $(TOP)/docs/man_overview.awk $(TOP)/include/ashmem/ashmem.h \
		>$(BUILD)/docs/man/man3/libashmem.3
	$(Q)rm -r $(BUILD)/docs/doxygen-man
	@echo 'HTML: $(BUILD)/docs/html/index.html   man pages: $(BUILD)/docs/man/man3'

# ---------------------------------------------------------------- releases: see there

include $(TOP)/packaging/rules.mk

# ---------------------------------------------------------------- housekeeping

.PHONY: deps
deps: ## Install the developers' tools with apt (the library itself needs a C compiler and make, no more)
	@$(TOP)/.ci/deps

.PHONY: deps-vm
deps-vm: ## Install what check-vm needs with apt: QEMU, compilers for i386 and arm64
	@$(TOP)/.ci/deps vm

.PHONY: deps-cross
deps-cross: ## Install what check-cross needs with apt: QEMU for user programs, compilers for armhf, arm64, i386, s390x, musl
	@$(TOP)/.ci/deps cross

.PHONY: deps-dist
deps-dist: ## Install what makes and checks packages with apt: debhelper, lintian, rpmbuild, CMake, Meson, LuaJIT, ...
	@$(TOP)/.ci/deps dist

.PHONY: clean
clean: ## Remove the build directory
	rm -rf $(BUILD)

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*\#\# *\(.*\)/  \1	\2/p' $(MAKEFILE) $(TOP)/packaging/rules.mk | expand -t 20
	@echo '  Variables: CC CFLAGS LDFLAGS CROSS_COMPILE WERROR=1 V=1 BUILD=dir PREFIX DESTDIR LIBDIR'

-include $(wildcard $(patsubst %.o,%.d,$(STATIC_OBJ) $(PIC_OBJ) $(SUPPORT_OBJ) $(CONTRACT_OBJ) $(BENCH_OBJ)) \
	$(BUILD)/obj/tests/*.d $(BUILD)/obj/tests/*/*.d $(BUILD)/obj/tools/*.d $(BUILD)/obj/examples/*.d $(BUILD)/obj/examples/*/*.d)
