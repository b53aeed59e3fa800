# SPDX-License-Identifier: MIT
#
# libashmem-cutils: the calls of Android's libcutils and NDK, on libashmem's public calls alone.
# Shared and static, two headers, a pkg-config file.

CUTILS_TOP := $(TOP)/compat/cutils
CUTILS_LINKNAME := libashmem-cutils.so
CUTILS_SONAME := $(CUTILS_LINKNAME).1
CUTILS_REALNAME := $(CUTILS_SONAME).$(VERSION)
CUTILS_MAP := $(CUTILS_TOP)/libashmem-cutils.map
CUTILS_SHARED := $(BUILD)/$(CUTILS_REALNAME)
CUTILS_STATIC := $(BUILD)/libashmem-cutils.a
CUTILS_PC := $(BUILD)/libashmem-cutils.pc

CUTILS_SRC := $(sort $(wildcard $(CUTILS_TOP)/*.c))
CUTILS_STATIC_OBJ := $(call object,static,$(CUTILS_SRC))
CUTILS_PIC_OBJ := $(call object,pic,$(CUTILS_SRC))

SECTIONS += CUTILS_HEADERS CUTILS_NDK_HEADERS CUTILS_SHARED CUTILS_STATIC CUTILS_PC
CUTILS_HEADERS_DIR = $(INCLUDEDIR)/cutils
CUTILS_HEADERS_FILES = $(wildcard $(CUTILS_TOP)/include/cutils/*.h)
CUTILS_NDK_HEADERS_DIR = $(INCLUDEDIR)/android
CUTILS_NDK_HEADERS_FILES = $(wildcard $(CUTILS_TOP)/include/android/*.h)
CUTILS_SHARED_DIR = $(LIBDIR)
CUTILS_SHARED_FILES = $(CUTILS_SHARED)
CUTILS_SHARED_MODE = 755
CUTILS_SHARED_LINKS = $(CUTILS_SONAME):$(CUTILS_REALNAME) $(CUTILS_LINKNAME):$(CUTILS_SONAME)
CUTILS_STATIC_DIR = $(LIBDIR)
CUTILS_STATIC_FILES = $(CUTILS_STATIC)
CUTILS_PC_DIR = $(PKGCONFIGDIR)
CUTILS_PC_FILES = $(CUTILS_PC)

CUTILS_CPPFLAGS = -I$(TOP)/include -I$(CUTILS_TOP)/include -D_GNU_SOURCE \
	-D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -include $(CUTILS_TOP)/exports.h

all: $(CUTILS_SHARED) $(BUILD)/$(CUTILS_SONAME) $(BUILD)/$(CUTILS_LINKNAME) $(CUTILS_STATIC) \
	$(CUTILS_PC)

$(BUILD)/pic/compat/cutils/%.o: $(CUTILS_TOP)/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(CUTILS_CPPFLAGS),$(LIB_CFLAGS),-fPIC)

$(BUILD)/static/compat/cutils/%.o: $(CUTILS_TOP)/%.c $(FLAGS_FILE)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(call compile,$(CUTILS_CPPFLAGS),$(LIB_CFLAGS),-fPIC -fno-lto)

$(CUTILS_SHARED): $(CUTILS_PIC_OBJ) $(CUTILS_MAP) $(BUILD)/$(LINKNAME)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(call shared_ldflags,$(CUTILS_SONAME),$(CUTILS_MAP)) $(LDFLAGS) -o $@ \
		$(CUTILS_PIC_OBJ) -L$(BUILD) -lashmem $(LDLIBS)

$(BUILD)/$(CUTILS_SONAME): $(CUTILS_SHARED)
	$(Q)ln -sf $(CUTILS_REALNAME) $@

$(BUILD)/$(CUTILS_LINKNAME): $(BUILD)/$(CUTILS_SONAME)
	$(Q)ln -sf $(CUTILS_SONAME) $@

# As libashmem.a: one object, its hidden symbols local.
$(BUILD)/static/libashmem-cutils.o: $(CUTILS_STATIC_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -fno-lto -nostdlib -r $(leave_groups) -o $@ $(CUTILS_STATIC_OBJ)
	$(Q)$(OBJCOPY) --localize-hidden $@

$(CUTILS_STATIC): $(BUILD)/static/libashmem-cutils.o
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $<

-include $(wildcard $(patsubst %.o,%.d,$(CUTILS_STATIC_OBJ) $(CUTILS_PIC_OBJ)))

# ---------------------------------------------------------------- tests

.PHONY: check-cutils
check-cutils: all ## Run programs that use descriptors as handles, as ports of Android code do
	@$(SCRIPT_ENV) $(TOP)/tests/cutils/check
