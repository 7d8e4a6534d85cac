# Everything a newcomer needs: `make run` and `make test` do all set-up by themselves.
#
# The build output lives outside of the checkout, because RocksDB alone compiles for many minutes and
# must survive a fresh clone. There is one cargo profile (release) for running, testing and CI.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

# `sudo make install` takes what the person behind sudo has built.
OWNER_HOME := $(if $(SUDO_USER),$(shell getent passwd $(SUDO_USER) | cut -d: -f6),$(HOME))
export CARGO_TARGET_DIR ?= $(OWNER_HOME)/.cache/adnet/target
export PATH := $(OWNER_HOME)/.cargo/bin:$(PATH)

ADNET := $(CARGO_TARGET_DIR)/release/adnet
BENCH ?= *

# Every build takes the whole workspace, never one package by -p: cargo unifies the features of what
# it builds, so a package alone asks for other features than the workspace does, and RocksDB and all
# that depends on it would be compiled once more.
CARGO_BUILD := cargo build --release --locked --workspace

# Seeds of `make sim`.
SEEDS ?= 500

PREFIX ?= /usr/local
DESTDIR ?=
BINDIR ?= $(PREFIX)/bin
UNITDIR ?= /etc/systemd/system
SYSUSERSDIR ?= /usr/lib/sysusers.d
TMPFILESDIR ?= /usr/lib/tmpfiles.d
DOCDIR ?= $(PREFIX)/share/doc/adnet
UNITS := adnet.service adnet.socket adnet-delta.socket adnet-metrics.socket

.PHONY: help setup build run test statetests sim bench vectors lint fmt install uninstall

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  ARGS=... is passed on, as in: make run ARGS='--mode alpha-only'"

setup: ## Install system packages and Rust, where missing
	@.ci/setup

build: setup ## Build the node
	$(CARGO_BUILD) --bin adnet

run: build ## Build and start a development node in ./adnet-data
	exec $(ADNET) run $(ARGS)

# The tests start the node itself, which `cargo test` does not build. Compiling and testing are two steps,
# so that compiling shows its progress and testing only what matters. The last line has loom go through the
# interleavings of the ring; its flag needs a target directory of its own (without RocksDB).
test: build ## Build and run all tests
	cargo test --release --locked --workspace --no-run
	cargo test --release --locked --workspace --quiet $(ARGS)
	RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR='$(CARGO_TARGET_DIR)/loom' cargo test --release --locked --quiet -p adnet-shm --test loom

statetests: setup ## Run Ethereum's GeneralStateTests, which lie in SUITE, through Delta's executor
	ADNET_STATE_TESTS='$(abspath $(SUITE))' cargo test --release --locked --workspace --lib -- \
	    --ignored --nocapture general_state_tests

sim: setup ## Play SEEDS networks with random troubles on a virtual clock
	$(CARGO_BUILD) --bin adnet --bin sim
	$(CARGO_TARGET_DIR)/release/sim --seeds 0..$(SEEDS)

# BENCH=ring runs one of them. Benchmarks have the profile release, so nothing is compiled twice.
bench: setup ## Run all benchmarks; ends with one table
	$(CARGO_BUILD) --bin adnet --bin bench-table
	cargo bench --locked --workspace --bench '$(BENCH)' $(ARGS)
	@$(CARGO_TARGET_DIR)/release/bench-table

vectors: setup ## Run the proof library's own test vectors
	.ci/orchard-vectors

lint: setup ## Check formatting, clippy, dependencies
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check; \
	else echo "cargo-deny is not installed: advisories and licences were not checked"; fi

fmt: ## Format all code
	cargo fmt --all

# The units name /usr/local; another PREFIX is written into them.
install: ## Install what `make build` built, and systemd units (DESTDIR, PREFIX)
	@test -x $(ADNET) || { echo "$(ADNET) is missing: run \`make build\` first" >&2; exit 1; }
	install -D -m 0755 $(ADNET) $(DESTDIR)$(BINDIR)/adnet
	install -d $(DESTDIR)$(UNITDIR)
	for unit in $(UNITS); do \
	    sed 's|/usr/local|$(PREFIX)|g' systemd/$$unit > $(DESTDIR)$(UNITDIR)/$$unit; \
	    chmod 0644 $(DESTDIR)$(UNITDIR)/$$unit; \
	done
	install -D -m 0644 systemd/adnet.sysusers $(DESTDIR)$(SYSUSERSDIR)/adnet.conf
	install -D -m 0644 systemd/adnet.tmpfiles $(DESTDIR)$(TMPFILESDIR)/adnet.conf
	install -D -m 0644 systemd/README.md $(DESTDIR)$(DOCDIR)/OPERATING.md

uninstall: ## Remove what install installed; data stays
	rm -f $(DESTDIR)$(BINDIR)/adnet $(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS))
	rm -f $(DESTDIR)$(SYSUSERSDIR)/adnet.conf $(DESTDIR)$(TMPFILESDIR)/adnet.conf
	rm -f $(DESTDIR)$(DOCDIR)/OPERATING.md
