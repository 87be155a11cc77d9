# Everything the project needs, one target each. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help prerequisites tools build demo test evenings lint generate bench soak mutations sweep deny clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

prerequisites: ## Check that Rust, Go and Python are there
	@tests/tools/prerequisites.sh

tools: prerequisites ## Find or build the control plane and its companions (first time: 8 to 15 minutes on two cores)
	@tests/tools/ensure.sh >/dev/null

build: prerequisites ## Build everything (first time: about 10 minutes on two cores, 7 GB of memory)
	@echo "build: the AWS SDK alone takes about five minutes the first time; artefacts are in target/"
	cargo build --workspace --all-targets --locked

demo: tools build ## The "Capital" evening in five minutes on a real Kubernetes API
	target/debug/primetime-demo

test: tools lint build evenings ## Every check and every test, the end-to-end tests included
	cargo test --workspace --locked

# In a release build, which needs no AWS SDK: three times as many evenings in the same time.
evenings: prerequisites ## Simulated evenings: 5,000 drawn ones, and a tenth of every fault at every request
	cargo test --release --locked --package primetime-sim

lint: prerequisites ## Formatting and clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

generate: ## Regenerate crds/ and the chart's copy
	cargo build --quiet --workspace --all-targets --locked
	target/debug/crds
	cp crds/*.yaml charts/primetime/crds/

bench: tools build ## Measure lateness, memory and idle requests as ratios in one run
	target/debug/primetime-bench

soak: prerequisites ## Every fault at every request of the simulated evenings, and PRIMETIME_SEEDS drawn ones
	PRIMETIME_SOAK=1 cargo test --release --locked --package primetime-sim -- --nocapture

mutations: prerequisites ## Plant known mistakes in a copy of the project; each must be caught (half an hour)
	cargo run --release --locked --package primetime-sim --bin mutations

sweep: tools build ## Remove what an interrupted evening left in the cluster of PRIMETIME_TEST_CONTEXT
	target/debug/primetime-sweep

deny: ## Licences, advisories, duplicate versions, unknown sources (needs cargo-deny)
	cargo deny --locked check

clean: ## Remove what was built here; tools stay in the cache
	cargo clean
