# Everything a person types. `make` alone says what there is.
SHELL := /bin/bash
TRIPLE := $(shell rustc -vV | sed -n 's/^host: //p')
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
OARLOCK := $(TARGET_DIR)/release/oarlock
DATA_DIR ?= /var/lib/oarlock
FUZZ_SECONDS ?= 3
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help build up demo down test check fuzz bench clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make build   the release binary, target/release/oarlock
build:
	cargo build --release --package oarlock
	@mkdir -p $(TARGET_DIR)/release && ln -f $(TARGET_DIR)/$(TRIPLE)/release/oarlock $(OARLOCK)

## make up      a one-node cluster in the foreground (root); Ctrl-C takes it down again
up: build
	$(SUDO) $(OARLOCK) up --data-dir $(DATA_DIR)

## make demo    deploys examples/guestbook into the running cluster and prints the URL that answers
demo:
	@examples/demo $(OARLOCK) $(DATA_DIR)

## make down    stops the cluster and takes away its containers and network rules
down:
	$(SUDO) $(OARLOCK) down --data-dir $(DATA_DIR)

## make check   format, lints, sizes, layers; writes nothing
check:
	cargo fmt --all --check
	cargo xtask tidy
	cargo xtask layers
	cargo clippy --workspace --all-targets -- --deny warnings

## make test    all tests: units, components, and end to end with the built binary and real containers (root)
test:
	cargo test --workspace --no-fail-fast

## make fuzz    hostile bytes for everything that parses, a few seconds each
fuzz:
	cargo run --package oarlock-fuzz -- --seconds $(FUZZ_SECONDS)

## make bench   measures the release build: start, pods, memory, size
bench: build
	cargo run --release --package oarlock-benches -- --oarlock $(OARLOCK)

## make clean   removes what was built
clean:
	cargo clean
