# Everything there is to do here; the work is done by the scripts of hack/, which say more.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# Targets are whole tasks, and the Go tools below them use every core.
.NOTPARALLEL:

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ For a newcomer, as root on Debian (what is missing is installed)

.PHONY: demo
demo: ## Back up, destroy and restore an application through a Backup vault, on real Kubernetes on this machine
	@hack/demo

.PHONY: demo-down
demo-down: ## Remove every trace of the demo
	@hack/build lab
	@build/bin/lab down --name demo-b
	@build/bin/lab down --name demo
	@build/bin/lab service down s3 vault
	@rm -rf build/demo

.PHONY: test
test: ## Everything that is tested
	@hack/test

##@ For a developer

.PHONY: build
build: ## Build the product and the lab into build/bin (one program: hack/build NAME)
	@hack/build

.PHONY: test-unit
test-unit: ## Tests that need nothing but Go
	@hack/test unit

.PHONY: test-stores
test-stores: ## Tests of what keeps blobs, on real servers of each kind
	@hack/test prepare build stores

.PHONY: test-clients
test-clients: ## Tests of the vault's server, with the clients of Terraform and Azure
	@hack/test clients

.PHONY: test-lab
test-lab: ## Tests on real clusters: of the lab, its storage, the product
	@hack/test prepare build lab storage e2e

.PHONY: lint
lint: ## Lint all code (repair what can be: hack/lint --fix)
	@hack/lint

.PHONY: generate
generate: ## Generate deep copies and custom resource definitions from api/crd
	@hack/generate

.PHONY: verify
verify: ## All of the above on a clean tree, before a push
	@hack/verify

.PHONY: bench
bench: ## Measure against the physical limit (some: make bench ROWS=capture)
	@hack/bench "$(ROWS)"

.PHONY: clean
clean: ## Remove what was built and fetched: build/ and the cache folder
	@. hack/env && rm -rf build "$$cache"/{bin,go,prepare.log,prepare.lock} && { rmdir "$$cache" 2>/dev/null || true; }
