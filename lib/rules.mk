# SPDX-License-Identifier: MIT
#
# The library: shared and static, the pkg-config file and the CMake package.

LIB_SRC := $(sort $(wildcard $(TOP)/lib/*/*.c))
STATIC_OBJ := $(call object,static,$(LIB_SRC))
PIC_OBJ := $(call object,pic,$(LIB_SRC))

# -z nodelete: dlclose does not unload it, for the pressure thread may run in it, threads have
# thread-locals of it, and a plugin that is loaded again and again would leave a page each time.
# -Bsymbolic-functions: a program may export a copy of the library; ours must not call into that.
try_ld = $(shell printf 'int x;' | $(CC) $(CFLAGS) $(LDFLAGS) -shared -nostdlib -fPIC -xc - \
	-o /dev/null -Wl,--fatal-warnings $(1) >/dev/null 2>&1 && printf '%s' '$(1)')
shared_ldflags = -shared -pthread -Wl,-soname,$(1) -Wl,--version-script=$(2) \
	$(call try_ld,-Wl$(comma)-z$(comma)defs) $(call try_ld,-Wl$(comma)-z$(comma)now) \
	$(call try_ld,-Wl$(comma)-z$(comma)relro) $(call try_ld,-Wl$(comma)--no-undefined-version) \
	$(call try_ld,-Wl$(comma)-Bsymbolic-functions) $(call try_ld,-Wl$(comma)-z$(comma)nodelete)
comma := ,

# Says what is visible.
EXPORTS_H := $(TOP)/lib/exports.h
LIB_CPPFLAGS_EXPORTS = $(LIB_CPPFLAGS) -I$(TOP)/lib -include $(EXPORTS_H)

all: $(SHARED) $(BUILD)/$(SONAME) $(BUILD)/$(LINKNAME) $(STATIC) $(PC) $(CMAKE)

$(BUILD)/pic/%.o: $(TOP)/%.c $(FLAGS_FILE) $(EXPORTS_H)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS_EXPORTS),$(LIB_CFLAGS),-fPIC)

# Without LTO: symbols are made local below, which works on machine code only. With -fPIC: it goes
# into shared objects too.
$(BUILD)/static/%.o: $(TOP)/%.c $(FLAGS_FILE) $(EXPORTS_H)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(LIB_CPPFLAGS_EXPORTS),$(LIB_CFLAGS),-fPIC -fno-lto)

$(SHARED): $(PIC_OBJ) $(MAP)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(call shared_ldflags,$(SONAME),$(MAP)) $(LDFLAGS) -o $@ $(PIC_OBJ) \
		$(LDLIBS)

$(BUILD)/$(SONAME): $(SHARED)
	$(Q)ln -sf $(REALNAME) $@

$(BUILD)/$(LINKNAME): $(BUILD)/$(SONAME)
	$(Q)ln -sf $(SONAME) $@

# One object, its hidden symbols made local: users of the archive can neither call nor collide with
# internals. What the compiler shares between objects (i386: __x86.get_pc_thunk.*) must leave its
# group, or the linker would drop ours for another's.
leave_groups = $(shell printf 'int x;' | $(CC) -nostdlib -r -xc - -o /dev/null \
	-Wl,--force-group-allocation >/dev/null 2>&1 && printf '%s' -Wl,--force-group-allocation)
$(BUILD)/static/libashmem.o: $(STATIC_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -fno-lto -nostdlib -r $(leave_groups) -o $@ $(STATIC_OBJ)
	$(Q)$(OBJCOPY) --localize-hidden $@

$(STATIC): $(BUILD)/static/libashmem.o
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $<

# A directory below PREFIX, without that: $(call below,DIR,WHAT INSTEAD). Spaces do not make words.
space := $() $()
joined = $(subst $(space),?,$(1))
below = $(subst ?,$(space),$(patsubst $(call joined,$(PREFIX))/%,$(2)%,$(call joined,$(1))))

$(BUILD)/%.pc: $(TOP)/pkgconfig/%.pc.in $(VERSION_H) FORCE
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' \
		-e 's|@LIBDIR@|$(call below,$(LIBDIR),$${prefix}/)|' \
		-e 's|@INCLUDEDIR@|$(call below,$(INCLUDEDIR),$${prefix}/)|' $< >$@.new
	@cmp -s $@.new $@ && rm -f $@.new || mv -f $@.new $@

# What a pointer takes, so that CMake does not offer the library to programs of the other width.
pointer_bytes = $(shell printf '__SIZEOF_POINTER__' | \
	$(CC) $(CPPFLAGS) $(CFLAGS) -E -P -xc - 2>/dev/null | tail -n 1)
# ../../include, so that an installed tree can be moved.
lib_words = $(subst /, ,$(call joined,$(call below,$(LIBDIR))))
up_from_lib = $(subst $(space),/,$(patsubst %,..,$(lib_words)))
include_from_lib = $(up_from_lib)/$(call below,$(INCLUDEDIR))

$(BUILD)/cmake/%: $(TOP)/cmake/%.in $(VERSION_H) FORCE
	@mkdir -p $(@D)
	@sed -e 's|@VERSION@|$(VERSION)|g' -e 's|@MAJOR@|$(call version_part,MAJOR)|' \
		-e 's|@SONAME@|$(SONAME)|' -e 's|@REALNAME@|$(REALNAME)|' \
		-e 's|@CUTILS_SONAME@|$(CUTILS_SONAME)|' \
		-e 's|@CUTILS_REALNAME@|$(CUTILS_REALNAME)|' \
		-e 's|@POINTER_BYTES@|$(pointer_bytes)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@INCLUDE_FROM_LIB@|$(include_from_lib)|' $< >$@.new
	@cmp -s $@.new $@ && rm -f $@.new || mv -f $@.new $@

-include $(wildcard $(patsubst %.o,%.d,$(STATIC_OBJ) $(PIC_OBJ)))
