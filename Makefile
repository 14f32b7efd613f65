# kmi: `make run` shows it work, `make check` tests it, `make install` puts it in place.
# CFLAGS, LDFLAGS, PREFIX and DESTDIR are yours; what the code needs stands beside them.

PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
BUILD ?= build
VERSION = 2.0.0
Q = $(if $(V),,@)

WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
       -Wpointer-arith -Wcast-qual -Wformat=2 -Wvla -Wundef
OURS = -std=c11 -DKMI_VERSION=\"$(VERSION)\" -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -fstack-protector-strong \
       -iquote lib -isystem /usr/share/include $(WARN) $(SANITIZE)
LINK = -Wl,--as-needed -Wl,-z,relro -Wl,-z,now $(SANITIZE)

# Only what a program really calls is linked: the archive gives it the objects it
# names, and --as-needed drops the libraries that none of those wants.
LIBS = -lcurl -lz -lsmartcols -l:libbearssl.a -lm

LIB_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard lib/*/*.c))
PROGRAMS := $(patsubst bin/%.c,$(BUILD)/bin/%,$(wildcard bin/*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*.c))
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,$(wildcard tests/tools/*.c))

# Debian 12 ships llhttp as sources (package node-llhttp); newer systems as a library.
ifeq ($(shell pkg-config --exists libllhttp 2>/dev/null && echo yes),yes)
LIBS += $(shell pkg-config --libs libllhttp)
else
LLHTTP_OBJECTS := $(BUILD)/llhttp/api.o $(BUILD)/llhttp/http.o $(BUILD)/llhttp/llhttp.o
endif

all: $(PROGRAMS)

$(BUILD)/libkmi.a: $(LIB_OBJECTS) $(LLHTTP_OBJECTS)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@$(if $(V),,echo "  cc   $<")
	$(Q)$(CC) $(OURS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	@$(if $(V),,echo "  cc   $<")
	$(Q)$(CC) -std=c11 -O2 -DLLHTTP_STRICT_MODE=1 -isystem /usr/share/include/llhttp $(SANITIZE) -w -c -o $@ $<

$(BUILD)/bin/%: $(BUILD)/bin/%.o $(BUILD)/libkmi.a
	@$(if $(V),,echo "  link $@")
	$(Q)$(CC) $(LINK) $(LDFLAGS) -o $@ $< $(BUILD)/libkmi.a $(LIBS)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/libkmi.a
	$(Q)$(CC) $(LINK) $(LDFLAGS) -o $@ $< $(BUILD)/libkmi.a $(LIBS)

unit: $(UNIT_TESTS)
	$(Q)prove -q -e '' $(UNIT_TESTS)

clean:
	rm -rf $(BUILD)

.PHONY: all unit clean
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
