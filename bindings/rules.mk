# SPDX-License-Identifier: MIT
#
# Other languages: bindings/NAME has a package each.

.PHONY: check-python
check-python: all ## Check the Python package: its tests, Django's, types, style, pip (needs \
	`make deps-python`)
	@$(PACKAGING_ENV) $(TOP)/bindings/python/check

.PHONY: bench-python
bench-python: all ## Measure Python's caches beside others' (needs `make deps-python`)
	@$(PACKAGING_ENV) $(TOP)/bindings/python/bench/run
