# Everything a person does with this checkout. `make` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
# STATE=folder is another stack than the checkout's own.
LOCAL := deploy/dev/stack.py $(if $(STATE),--state "$(STATE)")
# One set of packages and features everywhere, so that nothing is compiled twice. Releases are built without failpoints.
WORKSPACE := --workspace --features failpoints

.PHONY: help demo test up down tail bench bench-rivals soak rows generate images backup restore skew
help: ## List the verbs
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | sort | expand -t 18

demo: ## A brand's first weeks, from clone to report (CONTACTS=file ORDERS=file KEEP=1 STACK=compose)
	cargo build $(WORKSPACE) --bins
	$(if $(filter compose,$(STACK)),deploy/images/services.sh target/debug "$${SHEQUN_TAG:-dev}")
	target/debug/demo $(if $(filter compose,$(STACK)),--stack compose)

test: ## Format, lints, unit, store and suite tests on real servers
	tests/run.sh

up: ## Start Postgres, NATS and the services (data in .shequn, or STATE=folder)
	cargo build $(WORKSPACE) --bins
	$(LOCAL) up --services

down: ## Stop them (STATE=folder)
	$(LOCAL) down

tail: ## Print every event of the running stack, decoded
	cargo build -q $(WORKSPACE) --bins
	target/debug/tail $(ARGS)

bench: ## Measure a release build; a table, and target/bench.jsonl (ONLY="parts of names")
	tests/load/run.sh $(ONLY)

bench-rivals: ## Mass messages beside graphile-worker, BullMQ and Celery (ROUNDS=5 RECIPIENTS=60000 ONLY=bullmq)
	tests/load/rivals/run.sh

soak: ## Random rows of the fault matrix (MINUTES=60 SEED=number), or the failure tests N times (ONLY=failure N=20)
	MINUTES="$(MINUTES)" SEED="$(SEED)" N="$(N)" tests/run.sh soak $(ONLY)

rows: ## Which rows of the domain are claimed, and by which tests they are covered
	cargo nextest run $(WORKSPACE) -E 'test(workspace::rows)' --no-capture

generate: ## Write what is written from code (ONLY=queries, contracts or permissions)
	tests/run.sh generate $(ONLY)

images: ## A release image per service, and Postgres and NATS from packages (ONLY=services or base)
	deploy/images/make.sh $(ONLY)

backup: ## Copy the running stack's data and secrets (STATE=folder INTO=folder)
	$(LOCAL) backup $(if $(INTO),--into "$(INTO)")

restore: ## Start from such a copy (BACKUP=folder WIPE=1 STATE=folder SECRETS=folder)
	@[ -f "$(BACKUP)/about.json" ] || exec $(LOCAL) restore "$(BACKUP)"
	cargo build $(WORKSPACE) --bins
	$(LOCAL) restore --services $(if $(filter 1,$(WIPE)),--wipe) $(if $(SECRETS),--secrets "$(SECRETS)") "$(BACKUP)"

skew: ## The journeys with one service new and its peers of an older commit, and the reverse (BASE=commit ONLY=services)
	BASE="$(BASE)" ONLY="$(ONLY)" tests/skew/run.py
