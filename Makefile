# make: this list
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What to test, and how: make test PKG=./sqltext ARGS='-run TestSplit -v'
PKG ?= ./...
ARGS ?=
FUZZTIME ?= 10s
# How long one package may take. It is there to end what hangs; a machine that does other work as well needs some of it.
TIMEOUT ?= 60m
BENCH ?=

# Tools, at the versions that CI uses; the go command builds and keeps them.
GOFUMPT := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Only the race detector needs C; without it everything but the tests shares one set of compiled packages.
NOCGO := CGO_ENABLED=0

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## run all tests with the race detector, with the servers they need
	@scripts/servers run go test -race -count=1 -timeout $(TIMEOUT) $(ARGS) $(PKG)

.PHONY: cover
cover: ## run all tests and say how much of each package they cover; details in .cache/cover.html
	@mkdir -p .cache
	@scripts/servers run go test -count=1 -timeout $(TIMEOUT) -coverpkg=./... -coverprofile=.cache/cover.out $(ARGS) $(PKG)
	@go tool cover -html=.cache/cover.out -o .cache/cover.html
	@go tool cover -func=.cache/cover.out | tail -n 1

.PHONY: faults
faults: ## break migrations at every message, and kill processes and servers by the hundred; takes hours
	@scripts/servers run go test -C internal/faults -count=1 -timeout 24h $(ARGS) -every

.PHONY: fuzz
fuzz: ## run each fuzz test for a short while (FUZZTIME=10s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## run the benchmarks, side by side with other tools (BENCH=arguments)
	@bench/run.sh $(BENCH)

.PHONY: build
build: ## build everything, without cgo
	@$(NOCGO) go build ./...

.PHONY: vet
vet: ## run go vet
	@$(NOCGO) go vet ./...

.PHONY: lint
lint: ## run staticcheck (staticcheck.conf)
	@$(NOCGO) go run $(STATICCHECK) ./...

.PHONY: fmt
fmt: ## format all Go files with gofumpt
	@$(NOCGO) go run $(GOFUMPT) -w .

.PHONY: fmt-check
fmt-check: ## fail if a Go file isn't formatted
	@files=$$($(NOCGO) go run $(GOFUMPT) -l .); \
	if [[ $$files ]]; then echo "not formatted (make fmt does it):" $$files >&2; exit 1; fi

.PHONY: check
check: test vet fmt-check lint build ## what CI runs

.PHONY: servers
servers: ## start the servers and leave them running: eval "$(scripts/servers env)"; end: scripts/servers down
	@scripts/servers up
