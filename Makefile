# kmi: `make run` shows it work, `make check` tests it, `make install` puts it in place.
# CFLAGS, LDFLAGS, PREFIX and DESTDIR are yours; what the code needs stands beside them.

PREFIX ?= /usr/local
LIBEXEC ?= $(PREFIX)/libexec/kmi
ETC ?= /etc/kmi
CFLAGS ?= -O2 -g
BUILD ?= build
VERSION = 2.0.0
Q = $(if $(V),,@)

WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
       -Wpointer-arith -Wcast-qual -Wformat=2 -Wvla -Wundef
OURS = -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -fstack-protector-strong \
       -DKMI_VERSION='"$(VERSION)"' -DKMI_LIBEXEC='"$(LIBEXEC)"' -DKMI_ETC='"$(ETC)"' \
       -DKMI_PREFIX='"$(PREFIX)"' \
       -iquote lib -isystem /usr/share/include $(WARN) $(SANITIZE)
LINK = -Wl,--as-needed -Wl,-z,relro -Wl,-z,now $(SANITIZE)

# Only what a program really calls is linked: the archive gives it the objects it
# names, and --as-needed drops the libraries that none of those wants.
LIBS = -lcurl -lz -lsmartcols -lncursesw -l:libbearssl.a -lm

LIB_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard lib/*/*.c))
PROGRAMS := $(patsubst bin/%.c,$(BUILD)/bin/%,$(wildcard bin/*.c))
SCRIPTS := $(patsubst bin/%.sh,$(BUILD)/bin/%,$(wildcard bin/*.sh))
OTHER_NAMES := $(addprefix $(BUILD)/bin/kmi-proxy-,stop restart logs)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*.c))
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,$(wildcard tests/tools/*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/*.c))
SHELL_TESTS := $(wildcard tests/systemd/*.t) $(sort $(wildcard tests/e2e/*.t)) tests/tools/fakekimi.t tests/toml/toml-test.t tests/texts/catalogue.t

# Debian 12 ships llhttp as sources (package node-llhttp); newer systems as a library.
ifeq ($(shell pkg-config --exists libllhttp 2>/dev/null && echo yes),yes)
LIBS += $(shell pkg-config --libs libllhttp)
else
LLHTTP_OBJECTS := $(BUILD)/llhttp/api.o $(BUILD)/llhttp/http.o $(BUILD)/llhttp/llhttp.o
endif

all: $(PROGRAMS) $(SCRIPTS) $(OTHER_NAMES)

help:
	@echo "make run      build, start the proxy in dry run on example keys, show what it does"
	@echo "make check    every test, offline;  make asan: the same under ASan and UBSan"
	@echo "make lint     cppcheck and the man pages;  make bench: beside nginx;  make fuzz"
	@echo "make install  to DESTDIR and PREFIX (now $(PREFIX));  make uninstall;  make deb: a Debian package"
	@echo "make check-systemd  the package in a machine that boots (needs root; part of make check)"

run:
	@scripts/run.sh

check:
	@scripts/packages.sh build test $$(tests/systemd/boot.sh --can >/dev/null && echo boot)
	@scripts/packages.sh unpack build/superservers xinetd openbsd-inetd libwrap0 libtirpc3 libevent-2.1-7
	@$(MAKE) --no-print-directory tests

asan:
	@scripts/packages.sh build test
	@$(MAKE) --no-print-directory tests BUILD=build-asan CFLAGS="-O1 -g" \
	    SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"

# The tests find the programs through BUILD.
tests:
	@$(MAKE) --no-print-directory -s -j$$(nproc) build-all
	@BUILD=$(BUILD) prove --timer -j2 -e '' $(UNIT_TESTS) $(SHELL_TESTS)

build-all: all $(UNIT_TESTS) $(TOOLS)

unit: $(UNIT_TESTS)
	$(Q)prove -q -e '' $(UNIT_TESTS)

lint:
	@scripts/packages.sh build lint
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability --inline-suppr \
	    --suppress=missingIncludeSystem --suppress=unusedFunction --suppress=varFuncNullUB -D_GNU_SOURCE -DKMI_VERSION='""' \
	    -DKMI_LIBEXEC='""' -DKMI_ETC='""' -DKMI_PREFIX='""' -I lib bin lib
	mandoc -T lint -W warning docs/man/*

bench: build-all
	@scripts/packages.sh build test bench
	@scripts/bench.sh
	@scripts/bench-streams.sh

# Minutes of processes killed and stopped, clients that leave, a full disk; BUILD=build-asan takes what `make asan` built.
stress: build-all
	@scripts/stress.sh

fuzz: $(FUZZERS)

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

$(SCRIPTS): $(BUILD)/bin/%: bin/%.sh
	@mkdir -p $(@D)
	$(Q)install -m 755 $< $@

$(OTHER_NAMES): $(BUILD)/bin/kmi-proxy
	$(Q)ln -sf kmi-proxy $@

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/libkmi.a
	$(Q)$(CC) $(LINK) $(LDFLAGS) -o $@ $< $(BUILD)/libkmi.a $(LIBS)

$(BUILD)/fuzz/%: tests/fuzz/%.c
	@mkdir -p $(@D)
	$(Q)clang $(OURS) -O1 -g -fsanitize=fuzzer,address,undefined -o $@ $< $(wildcard lib/*/*.c) \
	    $(patsubst $(BUILD)/llhttp/%.o,/usr/share/llhttp/%.c,$(LLHTTP_OBJECTS)) -DLLHTTP_STRICT_MODE=1 -w \
	    -isystem /usr/share/include/llhttp $(LIBS)

# scripts/install.sh has the list.
install: all
	@PREFIX="$(PREFIX)" LIBEXEC="$(LIBEXEC)" ETC="$(ETC)" BUILD="$(BUILD)" DESTDIR="$(DESTDIR)" scripts/install.sh put

uninstall:
	@PREFIX="$(PREFIX)" LIBEXEC="$(LIBEXEC)" ETC="$(ETC)" BUILD="$(BUILD)" DESTDIR="$(DESTDIR)" scripts/install.sh remove

# A real systemd, with the package: needs root.
check-systemd: build-all
	@scripts/packages.sh build boot
	@KMI_BURST=2000 prove -v tests/systemd/boot.t

deb:
	@scripts/deb.sh $(VERSION) $(BUILD)/deb

clean:
	rm -rf build build-asan

.PHONY: all help run check asan tests build-all unit lint bench stress fuzz install uninstall check-systemd deb clean
.SECONDARY:
-include $(shell find $(addprefix $(BUILD)/,bin lib tests) -name '*.d' 2>/dev/null)
