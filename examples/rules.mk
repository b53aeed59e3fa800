# SPDX-License-Identifier: MIT
#
# The examples: examples/NAME.c, examples/NAME/*.c, or both, make one program.

EXAMPLE_NAMES := $(sort $(basename $(notdir $(wildcard $(TOP)/examples/*.c))) \
	$(notdir $(patsubst %/,%,$(dir $(wildcard $(TOP)/examples/*/*.c)))))
# What an example needs besides; without it, make leaves the example out.
NEEDS_glib_loop := glib-2.0
EXAMPLE_NAMES := $(foreach e,$(EXAMPLE_NAMES),$(if $(NEEDS_$(e)),\
	$(shell $(PKG_CONFIG) --exists $(NEEDS_$(e)) 2>/dev/null && echo $(e)),$(e)))
EXAMPLES := $(addprefix $(BUILD)/examples/,$(EXAMPLE_NAMES))
CXX_EXAMPLES := $(if $(HAS_CXX),\
	$(patsubst $(TOP)/%.cpp,$(BUILD)/%,$(wildcard $(TOP)/examples/*.cpp)))
needs = $(if $(NEEDS_$*),$(shell $(PKG_CONFIG) $(1) $(NEEDS_$*)))

.SECONDEXPANSION:

$(BUILD)/obj/examples/%.o: $(TOP)/examples/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS) $(call needs,--cflags),$(USER_CFLAGS))

$(EXAMPLES): $(BUILD)/examples/%: \
		$$(call object,obj,$$(sort $$(wildcard $(TOP)/examples/$$*.c) \
		$$(wildcard $(TOP)/examples/$$*/*.c))) $(STATIC)
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

DEMO_ARGS ?=
.PHONY: demo
demo: $(BUILD)/examples/filecache ## Show purgeable memory at work on real files \
	(DEMO_ARGS=/some/directory)
	$(BUILD)/examples/filecache $(DEMO_ARGS)

-include $(wildcard $(BUILD)/obj/examples/*.d $(BUILD)/obj/examples/*/*.d)
