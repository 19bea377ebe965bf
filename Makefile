# make demo   plays an account's story against simulated vendors     (Go, make, npm)
# make test   everything that must hold, with the engines it needs   (and Java 17, Maven, a C compiler, curl)
#
# make build | engines | lint | interop | soak | bench | clean

SHELL     := /bin/bash

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
DEMO_ARGS ?=
# How many packages are compiled and tested at a time. The engines are processes of
# their own, so more than one a core gains nothing.
TEST_P    ?= 2
TEST_ARGS ?=

CHDB := deploy/chdb/node_modules/.package-lock.json
JARS := deploy/kafka/libs

.PHONY: demo test build engines kafka lint interop soak bench clean need-build need-test

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
	@go tool staticcheck ./...

# Clients that are not ours: curl (README's first ten minutes), clickhouse-go against the
# embedded engine, kafka-go against the embedded broker and Apache Kafka.
interop: need-test engines kafka
	TRIBUTARY_REQUIRE_ENGINES=1 go run ./deploy/testsummary -count=1 -timeout=10m -p=$(TEST_P) \
		-run '^(TestProtocol|TestSuite|TestSuiteOnApacheKafka|TestTLSAndSASLOnApacheKafka|TestReadme)$$' \
		./internal/warehouse/embedded ./internal/eventlog/... ./cmd/tributary

# Ten million identifiers on disk, and an office of ten thousand contacts told in a hundred
# orders. Then a hundred kills of the router and of its ClickHouse child under load, and two
# hundred of the router while every vendor is in trouble: it prints what was acknowledged,
# delivered, held, ambiguous and lost. It takes about forty minutes and 2 GB under TMPDIR.
soak: need-build engines
	TRIBUTARY_IDENTITY_NODES=10000000 go test -count=1 -v -timeout=0 -run '^TestManyIdentifiers$$' ./identity/pebblestore
	TRIBUTARY_IDENTITY_OFFICE=10000 go test -count=1 -v -timeout=0 -run '^TestAnOfficeStaysManyPeople$$' ./identity
	TRIBUTARY_REQUIRE_ENGINES=1 TRIBUTARY_CRASH_CYCLES=100 go test -count=1 -v -timeout=0 -run '^TestKilling.*LosesNothing$$' ./cmd/tributary
	TRIBUTARY_REQUIRE_ENGINES=1 TRIBUTARY_CRASH_CYCLES=200 go test -count=1 -v -timeout=0 -run '^TestKillingTheRouterWithFaultsOn$$' ./cmd/tributary

bench: build
	./bin/tributary bench ingest
	go test -run='^$$' -bench=. -benchmem ./canonical/... ./mappings ./identity ./destinations/... ./ingest ./internal/eventlog/... ./internal/warehouse

clean:
	rm -rf bin demo-data demo-data-kafka

need-build:
	@deploy/need.sh build

need-test:
	@deploy/need.sh test
