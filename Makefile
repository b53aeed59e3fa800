# SPDX-License-Identifier: MIT
#
# Builds libashmem with GNU make and a C compiler; `make help` lists the targets. This file has the
# settings, names, flags and the installation; the rules of each folder are in its rules.mk.
#
# Everything that is made goes below $(BUILD), by default `build` in the directory make is run in,
# so `make -f /path/to/libashmem/Makefile` and `make BUILD=/tmp/b` leave the source tree as it is.
# Tests link the library's plain objects and can reach its internal functions; everybody else links
# libashmem.a or libashmem.so, which export the functions in lib/libashmem.map and nothing else.

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
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
SYSTEMUNITDIR ?= $(PREFIX)/lib/systemd/system
USERUNITDIR ?= $(PREFIX)/lib/systemd/user
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
CMAKEDIR ?= $(LIBDIR)/cmake/ashmem

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

SHARED := $(BUILD)/$(REALNAME)
STATIC := $(BUILD)/libashmem.a
PC := $(BUILD)/libashmem.pc
CMAKE := $(BUILD)/cmake/ashmem-config.cmake $(BUILD)/cmake/ashmem-config-version.cmake

HAS_CXX := $(shell command -v $(firstword $(CXX)) 2>/dev/null)

# build/static/lib/area/area.o, build/pic/lib/area/area.o, build/obj/tests/area/test_area.o, ...
object = $(patsubst $(TOP)/%.c,$(BUILD)/$(1)/%.o,$(2))
program = $(patsubst $(TOP)/%.c,$(BUILD)/%,$(1))

# What install and uninstall walk: for each section where, what, with which mode, and links as
# name:target. The folders add sections of their own.
SECTIONS := HEADERS SHARED STATIC PC CMAKE
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

# ---------------------------------------------------------------- flags

# 64-bit off_t and time_t everywhere; on 64-bit systems the two macros change nothing.
LIB_CPPFLAGS := -I$(TOP)/include -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
LIB_CFLAGS := -std=gnu11 -pthread -fvisibility=hidden
USER_CFLAGS := -std=gnu11 -pthread
WARNINGS := -Wall -Wextra
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

compile = $(CC) $(1) $(CPPFLAGS) $(WARNINGS) $(2) $(CFLAGS) $(3) -MMD -MP -c -o $@ $<
link = $(CC) $(USER_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $(1) $(LDLIBS)
compile_cxx = $(CXX) $(1) $(CPPFLAGS) $(WARNINGS) -std=c++11 -pthread $(CXXFLAGS) -MMD -MP \
	-c -o $@ $<
link_cxx = $(CXX) -pthread $(CFLAGS) $(CXXFLAGS) $(LDFLAGS) -o $@ $(1) $(LDLIBS)

# Changed flags rebuild everything: this file changes when they do.
FLAGS := $(CC) | $(AR) | $(CXX) | $(CXXFLAGS) | $(CPPFLAGS) | $(CFLAGS) | $(LDFLAGS) | $(LDLIBS) | \
	$(WARNINGS) | $(VERSION)
FLAGS_FILE := $(BUILD)/flags

SCRIPT_ENV = CC='$(CC)' CXX='$(CXX)' NM='$(NM)' PKG_CONFIG='$(PKG_CONFIG)' TOP='$(abspath $(TOP))' \
	BUILD='$(abspath $(BUILD))' CPPFLAGS='$(CPPFLAGS)' MAKE='$(MAKE)' SHORT='$(SHORT)'

# ---------------------------------------------------------------- targets

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: all
all: ## Build the library, shared and static, and the tools (default)

.PHONY: FORCE
$(FLAGS_FILE): FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(FLAGS))' >$@

RULES := $(sort $(wildcard $(TOP)/*/rules.mk $(TOP)/compat/*/rules.mk))
include $(RULES)

# ---------------------------------------------------------------- installing

.PHONY: install
install: all ## Install below PREFIX (/usr/local); also DESTDIR LIBDIR INCLUDEDIR BINDIR \
	MANDIR; man pages if they were built
	$(writable)
	$(foreach s,$(SECTIONS),$(call install_section,$(s)))
	@# A library that the loader's cache does not know is not found; packagers set DESTDIR and
	@# do this themselves.
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then ldconfig 2>/dev/null || :; fi

.PHONY: uninstall
uninstall: ## Take away what install put there (give the same variables)
	$(writable)
	$(foreach s,$(SECTIONS),$(call uninstall_section,$(s)))
	-$(Q)rmdir '$(DESTDIR)$(HEADERS_DIR)' '$(DESTDIR)$(CMAKE_DIR)' \
		'$(DESTDIR)$(CUTILS_HEADERS_DIR)' '$(DESTDIR)$(CUTILS_NDK_HEADERS_DIR)' \
		2>/dev/null || :

# Before anything is changed: each place, or the nearest directory that exists, can be written to.
define writable
	@for to in $(foreach s,$(SECTIONS),'$(DESTDIR)$($(s)_DIR)'); do \
		at=$$to; \
		while [ ! -e "$$at" ] && [ "$$at" != . ]; do at=$$(dirname -- "$$at"); done; \
		[ -d "$$at" ] && [ -w "$$at" ] || { \
			echo "No right to write to $$to: be root (sudo make $@), or name a" \
				"place of your own (make $@ PREFIX=\$$HOME/.local)." >&2; \
			exit 1; }; \
	done
endef

# Only man pages can be missing: everything else was just built.
define install_section
	$(Q)files='$(wildcard $($(1)_FILES))'; [ -z "$$files" ] || { \
		$(INSTALL) -d '$(DESTDIR)$($(1)_DIR)' && \
		$(INSTALL) -m $(or $($(1)_MODE),644) $$files '$(DESTDIR)$($(1)_DIR)/'; }
	$(Q)for l in $($(1)_LINKS); do ln -sf "$${l#*:}" '$(DESTDIR)$($(1)_DIR)/'"$${l%%:*}"; done

endef
define uninstall_section
	$(Q)for f in $(notdir $($(1)_FILES)) \
		$(foreach l,$($(1)_LINKS),$(firstword $(subst :, ,$(l)))); do \
		rm -f '$(DESTDIR)$($(1)_DIR)/'"$$f"; done

endef

# ---------------------------------------------------------------- housekeeping

.PHONY: deps
deps: ## Install the developers' tools with apt (the library itself needs a C compiler and \
	make, no more)
	@$(TOP)/.ci/deps

.PHONY: deps-vm
deps-vm: ## Install what check-vm needs with apt: QEMU, compilers for i386 and arm64
	@$(TOP)/.ci/deps vm

.PHONY: deps-systemd
deps-systemd: ## Install what check-systemd needs with apt: QEMU, mmdebstrap
	@$(TOP)/.ci/deps systemd

.PHONY: deps-cross
deps-cross: ## Install what check-cross needs with apt: QEMU for user programs, compilers \
	for armhf, arm64, i386, s390x, musl
	@$(TOP)/.ci/deps cross

.PHONY: deps-dist
deps-dist: ## Install what makes and checks packages with apt: debhelper, lintian, rpmbuild, \
	CMake, Meson, LuaJIT, ...
	@$(TOP)/.ci/deps dist

.PHONY: deps-python
deps-python: ## Install what check-python and bench-python need with apt: pytest, mypy, Django, ...
	@$(TOP)/.ci/deps python

.PHONY: clean
clean: ## Remove the build directory
	rm -rf $(BUILD)

.PHONY: help
help: ## Show this list
	@sed -n -e ':more' -e '/\\$$/{N;s/[[:space:]]*\\\n[[:space:]]*/ /;b more' -e '}' \
		-e 's/^\([a-z-]*\):.*\#\# *\(.*\)/  \1	\2/p' $(MAKEFILE) $(RULES) | expand -t 20
	@echo '  Variables: CC CFLAGS LDFLAGS CROSS_COMPILE WERROR=1 V=1 BUILD=dir' \
		'PREFIX DESTDIR LIBDIR'
