# Each target does its own set-up. `make` alone tells what there is.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
PORTCULLIS := $(TARGET)/debug/portcullis
SDK := plugin-sdk/rust
SINKS := --sink smtp=127.0.0.1:12091 --sink lmtp=127.0.0.1:12092 --sink-refuse fail@example.com

.PHONY: help
help:
	@echo 'make demo                a gateway, its plugins and an upstream, and mail that goes through them'
	@echo 'make build               the gateway (debug) and the plugins'
	@echo 'make release             the gateway, optimised, and the plugins'
	@echo 'make deb                 the Debian package, into target/debian'
	@echo 'make plugins             the plugins, from source, into target/plugins'
	@echo 'make sdks                the example plugin in every language, and the tests of the SDKs'
	@echo 'make variations          what the READMEs of the bundled plugins show in other languages'
	@echo 'make test                every test'
	@echo 'make lint                rustfmt, clippy, cargo doc; nothing may complain'
	@echo 'make conformance         plays the conformance cases against the gateway'
	@echo 'make effect              labelled mail against config/examples/inbound-mx.yaml; EFFECT=5 for five times as much'
	@echo 'make conformance-server  the gateway that they are played against, in the foreground'
	@echo 'make fuzz                every fuzz target, 30 seconds each; FUZZ=600 for longer'
	@echo 'make bench               benchmarks of the protocol, and what a hop costs beside its peers'

# make demo DEMO=--once ends by itself.
.PHONY: demo
demo: build
	exec $(PORTCULLIS) demo $(DEMO)

.PHONY: build
build: gateway plugins

.PHONY: gateway
gateway:
	$(CARGO) build --locked -p portcullis

.PHONY: release
release: plugins
	PORTCULLIS_COMMIT="$$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)" \
	    $(CARGO) build --locked --release -p portcullis

.PHONY: deb
deb: release
	config/debian/build.sh

.PHONY: plugins
plugins:
	plugins/build.sh

# In every language whose tools are here.
.PHONY: sdks
sdks: build
	plugin-sdk/test.sh $(PORTCULLIS)

# What the READMEs of the bundled plugins show in other languages.
.PHONY: variations
variations: build
	plugins/variations.sh $(PORTCULLIS)

.PHONY: test
test: sdks variations
	$(CARGO) test --locked --workspace
	$(CARGO) test --locked --manifest-path $(SDK)/Cargo.toml
	$(CARGO) test --locked --manifest-path $(SDK)/template/Cargo.toml
	$(CARGO) test --locked --manifest-path plugins/Cargo.toml --workspace
	$(MAKE) conformance
	$(MAKE) effect

.PHONY: lint
lint:
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path gateway/smtp/fuzz/Cargo.toml
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps
	$(CARGO) fmt --check --manifest-path $(SDK)/Cargo.toml --all
	$(CARGO) clippy --locked --manifest-path $(SDK)/Cargo.toml --workspace --all-targets -- -D warnings
	$(CARGO) fmt --check --manifest-path $(SDK)/template/Cargo.toml
	$(CARGO) clippy --locked --manifest-path $(SDK)/template/Cargo.toml --all-targets -- -D warnings
	$(CARGO) fmt --check --manifest-path plugins/Cargo.toml --all
	$(CARGO) clippy --locked --manifest-path plugins/Cargo.toml --workspace --all-targets -- -D warnings

.PHONY: fuzz
fuzz:
	gateway/smtp/fuzz/run.sh $(FUZZ)

.PHONY: conformance
conformance: build
	"$$(tests/python.sh)" tests/conformance/conformance.py $(PORTCULLIS)

.PHONY: conformance-server
conformance-server: build
	exec $(PORTCULLIS) run --config tests/conformance/portcullis.yaml $(SINKS)

.PHONY: effect
effect: build
	PORTCULLIS_EFFECT=$(or $(EFFECT),1) "$$(tests/python.sh yaml authres dkim)" tests/effect/effect.py $(PORTCULLIS)

.PHONY: bench
bench: release
	$(CARGO) bench --locked -p portcullis-smtp
	$(CARGO) bench --locked -p portcullis --bench hooks
	tests/bench/plugins/build.sh
	$(CARGO) bench --locked -p portcullis --bench cost
	tests/bench/run.sh $(TARGET)/release/portcullis
