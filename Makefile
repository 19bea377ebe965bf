# make demo   plays an account's story against simulated vendors     (Go, make, npm)
# make test   everything that must hold, with the engines it needs   (and Java 17, Maven, a C compiler, curl)
#
# make interop   official SDKs, an API tester and a browser against a router   (Go, make, npm, Node, Python, Chromium)
# make build | engines | lint | soak | bench | clean

SHELL     := /bin/bash

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
DEMO_ARGS ?=
# How many packages are compiled and tested at a time. The engines are processes of
# their own, so more than one a core gains nothing.
TEST_P    ?= 2
TEST_ARGS ?=

CHDB := deploy/chdb/node_modules/.package-lock.json
JARS := deploy/kafka/libs
NODE_CLIENTS   := interop/node/node_modules/.package-lock.json
PYTHON_CLIENTS := interop/python/venv/.installed

.PHONY: demo test build engines kafka lint interop soak bench clean need-build need-test need-interop

# DEMO_ARGS are the command's own: make demo DEMO_ARGS="--keep". KAFKA=1 plays it on
# Apache Kafka instead of the embedded log, which needs what make test needs.
ifdef KAFKA
demo: need-test engines kafka build
	deploy/demo-on-kafka.sh $(DEMO_ARGS)
else
demo: need-build engines build
	./bin/tributary demo $(DEMO_ARGS)
endif

test: need-test engines kafka lint
	CGO_ENABLED=1 TRIBUTARY_REQUIRE_ENGINES=1 go run ./deploy/testsummary -race -vet=off -timeout=20m -p=$(TEST_P) $(TEST_ARGS) ./...

build: need-build
	go build -ldflags "-X main.version=$(VERSION)" -o bin/tributary ./cmd/tributary

# The ClickHouse engine library, pinned in deploy/chdb/package-lock.json.
engines: need-build $(CHDB)

$(CHDB): deploy/chdb/package-lock.json
	npm ci --prefix deploy/chdb --no-audit --no-fund --loglevel=error
	@ls deploy/chdb/node_modules/@chdb/*/libchdb.so >/dev/null 2>&1 || { rm -rf deploy/chdb/node_modules; \
		echo "npm brought no libchdb.so: either it could not be fetched (run it again), or there is none for $$(uname -sm)" >&2; exit 1; }
	@touch $@

# Apache Kafka, pinned in deploy/kafka/pom.xml.
kafka: need-test $(JARS)

$(JARS): deploy/kafka/pom.xml
	deploy/kafka/run.sh --fetch
	@touch $@

lint: need-build
	@echo "gofmt, go vet, staticcheck"
	@wrong=$$(find . -name '*.go' -not -path '*/node_modules/*' -not -path './.*/*' -exec gofmt -l {} +); if [ -n "$$wrong" ]; then echo "not as gofmt writes it:"; echo "$$wrong"; exit 1; fi
	@go vet ./...
	@go vet -tags=interop ./ingest ./cmd/tributary
	@go tool staticcheck ./...

# Official SDKs, an API tester and a browser against a router, with nothing changed but the
# host (interop/README.md). Screenshots and reports go to artifacts/.
interop: need-interop engines $(NODE_CLIENTS) $(PYTHON_CLIENTS)
	TRIBUTARY_REQUIRE_ENGINES=1 TRIBUTARY_ARTIFACTS=$(CURDIR)/artifacts go run ./deploy/testsummary -count=1 -tags=interop -vet=off -timeout=10m \
		-run='^TestInterop' $(TEST_ARGS) ./ingest ./cmd/tributary

$(NODE_CLIENTS): interop/node/package-lock.json
	npm ci --prefix interop/node --no-audit --no-fund --loglevel=error
	@touch $@

$(PYTHON_CLIENTS): interop/python/requirements.txt
	python3 -m venv interop/python/venv
	interop/python/venv/bin/pip install --quiet --disable-pip-version-check -r interop/python/requirements.txt
	@touch $@

# Ten million identifiers on disk, identity's properties for many more seeds, and an office of ten thousand contacts told in a hundred
# orders. Then a hundred kills of the router and of its ClickHouse child under load, and two
# hundred of the router while every vendor is in trouble: it prints what was acknowledged,
# delivered, held, ambiguous and lost. It takes about forty minutes and 2 GB under TMPDIR.
soak: need-build engines
	TRIBUTARY_IDENTITY_NODES=10000000 go test -count=1 -v -timeout=0 -run '^TestManyIdentifiers$$' ./identity/pebblestore
	TRIBUTARY_IDENTITY_SEEDS=4 go test -count=1 -timeout=0 ./identity
	TRIBUTARY_IDENTITY_OFFICE=10000 go test -count=1 -v -timeout=0 -run '^TestAnOfficeStaysManyPeople$$' ./identity
	TRIBUTARY_REQUIRE_ENGINES=1 TRIBUTARY_CRASH_CYCLES=100 go test -count=1 -v -timeout=0 -parallel=1 -run '^TestKilling.*LosesNothing$$' ./cmd/tributary
	TRIBUTARY_REQUIRE_ENGINES=1 TRIBUTARY_CRASH_CYCLES=200 go test -count=1 -v -timeout=0 -parallel=1 -run '^TestKillingTheRouterWithFaultsOn$$' ./cmd/tributary

bench: build
	./bin/tributary bench ingest
	./bin/tributary bench connections
	go test -run='^$$' -bench=. -benchmem ./canonical/... ./mappings ./identity ./destinations/... ./ingest ./internal/eventlog/... ./internal/warehouse

clean:
	rm -rf bin demo-data demo-data-kafka artifacts

need-build:
	@deploy/need.sh build

need-test:
	@deploy/need.sh test

need-interop:
	@deploy/need.sh interop
