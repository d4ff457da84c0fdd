# Builds a plugin and its tests. A plugin's Makefile says:
#
#     NAME = closed               what the plugin is called
#     SOURCES = closed.c          of what it is made
#     TESTS = closed_test.c       programs with a main, one a file
#     SDK = path/to/sdk
#     include $(SDK)/portcullis.mk
#
# WASM_CC is a compiler for wasm32-wasi: Zig's (pip install ziglang, or zig itself), or the clang of a
# WASI SDK in WASI_SDK_PATH.

ifndef WASM_CC
  ifdef WASI_SDK_PATH
    WASM_CC := $(WASI_SDK_PATH)/bin/clang --target=wasm32-wasi
  else
    WASM_CC := $(shell command -v zig >/dev/null && echo zig || echo python3 -m ziglang) cc --target=wasm32-wasi
  endif
endif

# For programs of this machine: its compiler, or else the same Zig.
ifeq ($(origin CC),default)
  CC := $(shell command -v cc >/dev/null && echo cc || echo $(filter-out --target=%,$(WASM_CC)))
endif

CFLAGS ?= -O2 -Wall -Wextra
# Few plugins recurse. What the stack takes is part of each copy's memory.
STACK ?= 65536
WASM_FLAGS = -mexec-model=reactor -Wl,-z,stack-size=$(STACK)

WASM_PARTS = $(SDK)/portcullis.c $(SDK)/portcullis_wasm.c $(SDK)/wit/plugin.c
FAKE_PARTS = $(SDK)/portcullis.c $(SDK)/portcullis_fake.c
HEADERS = $(wildcard $(SDK)/*.h *.h)

$(NAME).wasm: $(SOURCES) $(WASM_PARTS) $(SDK)/wit/plugin_component_type.o $(HEADERS)
	$(WASM_CC) -std=c11 $(CFLAGS) $(WASM_FLAGS) -I$(SDK) -o $@.full $(SOURCES) $(WASM_PARTS) $(SDK)/wit/plugin_component_type.o
	$(CC) -std=c11 -O1 -o $@.strip $(SDK)/portcullis_strip.c
	./$@.strip $@.full $@.new
	mv $@.new $@
	rm $@.full $@.strip

.PHONY: test clean
test: $(TESTS:.c=.test)
	@set -e; for test in $^; do echo "$$test"; ./$$test; done

%.test: %.c $(SOURCES) $(FAKE_PARTS) $(HEADERS)
	$(CC) -std=c11 -g -Wall -Wextra -I$(SDK) -o $@ $< $(SOURCES) $(FAKE_PARTS)

clean:
	rm -f $(NAME).wasm $(TESTS:.c=.test)
