# Run `make` for a list of the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Which tests to run: make test PKG=./sqltext ARGS='-run TestSplit -v'
PKG ?= ./...
ARGS ?=
FUZZTIME ?= 10s
# The time limit of one package. It ends a test that hangs; go's default of 10 minutes is too short
# for database/postgres on a busy machine.
TIMEOUT ?= 60m
BENCH ?=

# The tools and their versions. The go command builds and caches them.
GOFUMPT := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Only the race detector needs C. Without cgo, all other targets share one set of compiled packages.
NOCGO := CGO_ENABLED=0

# SQLite's packages are C translated to Go, with locks of their own. The race detector and its check
# of pointer arithmetic (checkptr) multiply their CPU time by ten, so these packages alone are
# compiled without both.
RACE := -race -gcflags='modernc.org/...=-race=false -d=checkptr=0'

# The race detector lets each process sleep for a second at its end. Many tests start processes.
export GORACE := atexit_sleep_ms=20 $(GORACE)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## run all tests with the race detector and the servers they need
	@scripts/servers run go test $(RACE) -count=1 -timeout $(TIMEOUT) $(ARGS) $(PKG)

.PHONY: cover
cover: ## run all tests and print their coverage; details are in .cache/cover.html
	@mkdir -p .cache
	@scripts/servers run go test -count=1 -timeout $(TIMEOUT) -coverpkg=./... -coverprofile=.cache/cover.out $(ARGS) $(PKG)
	@go tool cover -html=.cache/cover.out -o .cache/cover.html
	@go tool cover -func=.cache/cover.out | tail -n 1

.PHONY: faults
faults: ## interrupt migrations at every message, and kill processes and servers; takes hours
	@scripts/servers run go test -count=1 -timeout 24h ./database/postgres -run '^Test(Contract|BackfillKeys|AlteredTables|InterruptedStatementIsCleanedUp|Scripts)$$' -every
	@scripts/servers run go test -C internal/faults -count=1 -timeout 24h $(ARGS) -every

.PHONY: fuzz
fuzz: ## run each fuzz test briefly (FUZZTIME=10s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## compare with other tools (BENCH=arguments)
	@bench/run.sh $(BENCH)

.PHONY: build
build: ## build everything, without cgo
	@$(NOCGO) go build ./...

.PHONY: docs
docs: ## write the man pages, the completions and the schema of whimbrel.yaml to dist/docs
	@rm -rf dist/docs
	@$(NOCGO) go run ./internal/manual dist/docs
	@$(NOCGO) go run ./cmd/whimbrel config schema > dist/docs/whimbrel.schema.json
	@echo "dist/docs: man, completions, whimbrel.schema.json"

.PHONY: dist
dist: ## build the files of a release into dist/release, for all platforms
	@scripts/dist

.PHONY: dist-check
dist-check: ## build two platforms twice, in different folders, and compare; limit the size
	@scripts/dist check

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
fmt-check: ## fail if a Go file is not formatted
	@files=$$($(NOCGO) go run $(GOFUMPT) -l .); \
	if [[ $$files ]]; then echo "not formatted, run make fmt:" $$files >&2; exit 1; fi

.PHONY: check
check: test vet fmt-check lint build dist-check ## what CI runs

.PHONY: servers
servers: ## start the servers and leave them running; scripts/servers down stops them
	@scripts/servers up
