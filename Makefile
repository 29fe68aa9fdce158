# Everything is built into build/ and nothing is installed. Needs Go, git, make.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PULUMI_VERSION := v3.255.0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BUILD := $(CURDIR)/build
GO := go
# A pulumi of another version is not used: state and provider protocol are its own.
PULUMI_ON_PATH := $(shell pulumi version 2>/dev/null | grep -qx '$(PULUMI_VERSION)' && command -v pulumi)

export TAPCTL_HOME := $(BUILD)
# Tests leave nothing in the user's own Pulumi home.
export PULUMI_HOME := $(BUILD)/pulumi-home

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: build
build: $(BUILD)/tapctl functions pulumi ## build tapctl, the Lambda packages and the Pulumi CLI into build/

.PHONY: $(BUILD)/tapctl
$(BUILD)/tapctl:
	$(GO) build -trimpath -ldflags '-X github.com/tapctl/tapctl/internal/cli.Version=$(VERSION)' -o $@ ./cmd/tapctl

.PHONY: functions
functions: ## build the Lambda packages, byte for byte the same every time
	$(GO) run ./function/cmd/package -out $(BUILD)/function

.PHONY: pulumi
ifeq ($(PULUMI_ON_PATH),)
pulumi: $(BUILD)/pulumi/bin/pulumi ## build the Pulumi CLI, unless the fitting one is on PATH (minutes, once)
else
pulumi:
	@echo "using $(PULUMI_ON_PATH)"
endif

# The version must be linked in: the Automation API refuses a CLI without one.
$(BUILD)/pulumi/bin/pulumi: tools/pulumi/go.mod tools/pulumi/go.sum
	cd tools/pulumi && $(GO) build -trimpath \
		-ldflags '-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=$(PULUMI_VERSION)' \
		-o $@ github.com/pulumi/pulumi/pkg/v3/cmd/pulumi

.PHONY: demo
demo: build ## a clean shift and a bad one against the embedded AWS, under traffic, scored
	$(BUILD)/tapctl rehearse

.PHONY: test
test: build ## every test
	$(GO) test -timeout 30m $$($(GO) list ./... | grep -v /internal/kill$$)
	$(GO) test -timeout 20m ./internal/kill # alone: no user of it may fail, and a busy machine fails users

.PHONY: race
race: functions ## the tests of what decides and of what serves, under the race detector
	$(GO) test -race -timeout 15m ./internal/clock/... ./internal/cutover/... ./internal/health/... ./internal/rehearse/... \
		./internal/localaws/{fault,wire,cloudwatch,dynamodb,iam,kms,acm,logs,lambda,apigateway,route53,s3}/... ./function/...

.PHONY: sim
sim: ## simulate the cutover: SEEDS=1000000 many, FROM=n from there on
	TAPCTL_SIM_SEEDS=$(or $(SEEDS),100000) TAPCTL_SIM_FROM=$(or $(FROM),0) $(GO) test -count=1 -timeout 24h -v -run 'TestSim$$' ./internal/cutover

.PHONY: kill
kill: build ## kill the built binary at every single call of a shift and a rollback (two hours)
	TAPCTL_KILL_ALL=1 $(GO) test -count=1 -timeout 24h -v ./internal/kill

.PHONY: golden
golden: build ## rewrite the golden files from what the tests see now
	$(GO) test ./internal/cli -update

.PHONY: lint
lint: ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool -modfile=tools/lint/go.mod staticcheck ./...

.PHONY: vuln
vuln: ## known vulnerabilities of what is called (needs the network)
	$(GO) tool -modfile=tools/lint/go.mod govulncheck ./...

.PHONY: check
check: lint test race demo ## what CI runs

.PHONY: clean
clean: ## remove what was built and what runs left
	rm -rf $(BUILD) .tapctl
