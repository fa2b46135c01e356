# Everything a person does with this checkout. `make` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
STACK := deploy/dev/stack.py
# One set of packages and features everywhere, so that nothing is compiled twice. Releases are built without failpoints.
WORKSPACE := --workspace --features failpoints

.PHONY: help demo test up down status tail bench failure-repeat rows sqlx contracts images images-base fmt
help: ## List the verbs
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | sort | expand -t 18

demo: ## A brand's first weeks, from clone to report (CONTACTS=file ORDERS=file KEEP=1)
	cargo build $(WORKSPACE) --bins
	target/debug/demo

test: ## Format, lints, unit, store and suite tests on real servers
	tests/run.sh

up: ## Start Postgres, NATS and the services (data in .shequn)
	cargo build $(WORKSPACE) --bins
	$(STACK) up --services

down: ## Stop them
	$(STACK) down

status: ## What runs, on which ports, and where the data is
	$(STACK) status

tail: ## Print every event of the running stack, decoded
	cargo build -q $(WORKSPACE) --bins
	target/debug/tail $(ARGS)

bench: ## Measure a release build; a table, and target/bench.jsonl
	tests/load/run.sh

failure-repeat: ## Run the failure tests N times (N=20)
	tests/run.sh failure-repeat $(or $(N),20)

rows: ## Which rows of the domain are claimed, and by which tests they are covered
	cargo nextest run $(WORKSPACE) -E 'test(workspace::rows)' --no-capture

sqlx: ## Check every query against real schemas and write the offline data
	deploy/dev/sqlx.sh

contracts: ## Accept the contracts as they are now (proto and OpenAPI snapshots)
	cargo build $(WORKSPACE) --bins
	INSTA_UPDATE=always cargo nextest run $(WORKSPACE) -E 'test(contracts::)'

images: ## An image per service, of a release build
	cargo build --release --workspace --bins
	deploy/images/services.sh target/release

images-base: ## Postgres and NATS images from packages, for machines without a registry
	deploy/images/build.sh

fmt: ## Format the code
	cargo fmt --all
