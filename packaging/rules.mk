# SPDX-License-Identifier: MIT
#
# Releases: tarball, packages, ABI, projects that use the library, other languages.

# Times inside of packages and tarballs: of the last commit, or, in a release tarball, of its files.
SOURCE_DATE_EPOCH ?= $(or \
	$(shell test -e $(TOP)/.git && git -C $(TOP) log -1 --format=%ct 2>/dev/null), \
	$(shell stat -c %Y $(TOP)/CHANGELOG.md))

TARBALL := $(BUILD)/libashmem-$(VERSION).tar.gz
RELEASE ?= yes
PACKAGING_ENV = $(SCRIPT_ENV) VERSION='$(VERSION)' SONAME='$(SONAME)' \
	TARBALL='$(abspath $(TARBALL))' SOURCE_DATE_EPOCH='$(strip $(SOURCE_DATE_EPOCH))'

.PHONY: dist
dist: ## Make the release tarball, which builds and tests without git
	@$(PACKAGING_ENV) $(TOP)/packaging/dist.sh

.PHONY: check-dist
check-dist: ## Unpack the release tarball; build, test and make it again there
	@$(PACKAGING_ENV) $(TOP)/tests/check_dist.sh

.PHONY: deb
deb: ## Build Debian packages below build/deb (needs `make deps-dist`)
	@$(PACKAGING_ENV) $(TOP)/packaging/deb.sh

.PHONY: check-deb
check-deb: ## Build Debian packages twice; lintian; install them in a minimal system, build \
	and run programs there
	@$(PACKAGING_ENV) $(TOP)/tests/check_deb.sh

.PHONY: rpm
rpm: ## Build RPM packages below build/rpm (needs rpmbuild)
	@$(PACKAGING_ENV) $(TOP)/packaging/rpm.sh

.PHONY: check-rpm
check-rpm: ## Build RPM packages, see what is in them; rpmlint
	@$(PACKAGING_ENV) $(TOP)/tests/check_rpm.sh

.PHONY: check-ffi
check-ffi: all ## Call every function from Python and LuaJIT, with the shared object alone
	@$(PACKAGING_ENV) $(TOP)/tests/ffi/check

.PHONY: abi-update
abi-update: all ## Write down the interface as it is now, for check-abi and the packages
	@$(PACKAGING_ENV) $(TOP)/packaging/abi_update.sh

.PHONY: check-abi
check-abi: all ## Compare the ABI with what was written down; run the programs of earlier \
	releases
	@$(PACKAGING_ENV) $(TOP)/tests/check_abi.sh

.PHONY: check-consumers
check-consumers: all ## Build and run projects that use CMake, Meson and make against an \
	installed tree
	@$(PACKAGING_ENV) $(TOP)/tests/check_consumers.sh

.PHONY: apkbuild
apkbuild: ## Put the tarball and Alpine's APKBUILD for it into build/alpine
	@$(PACKAGING_ENV) $(TOP)/packaging/apkbuild.sh

.PHONY: check-alpine
check-alpine: ## Do what the APKBUILD does, with musl
	@$(PACKAGING_ENV) $(TOP)/tests/check_alpine.sh

.PHONY: release-check
release-check: all ## See whether this commit can be released (RELEASING.md; RELEASE=no: as \
	far as can be told before)
	@$(PACKAGING_ENV) RELEASE='$(RELEASE)' $(TOP)/tests/release_check.sh
