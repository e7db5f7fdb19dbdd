# The targets for contributors. `make serve` and `make test` need Go, a C compiler and make.
# `make tools` installs what the others need on Debian.

MODULES := events projections service commands queryapi clusterlite bench e2e
PACKAGES := $(MODULES:%=./%/...)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
GORELEASER := github.com/goreleaser/goreleaser/v2@v2.15.1
NFPM := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
HELM := helm.sh/helm/v3/cmd/helm@v3.22.0
CNI := github.com/containernetworking/plugins@v1.9.0
CYCLONEDX := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

# Full-text search is an option of the SQLite driver. Read models in SQL can use it. Without the pages
# of gRPC for traces, nothing links templates, for which the linker keeps methods that are not called.
# No target needs debug information. Omitting it (-w) reduces the time to link a test program by a third.
export GOFLAGS := $(strip $(GOFLAGS) -tags=sqlite_fts5,grpcnotrace -ldflags=-w)

# SQLite is C code, which Go compiles with -O2 -g unless this variable is set. The Dockerfiles and
# .goreleaser.yaml set the same.
export CGO_CFLAGS ?= -O2

.PHONY: vulncheck release-check packages package-check help tools serve test lint diagram fuzz deploy-check kubernetes kubernetes-cluster scale e2e e2e-waiting e2e-clusters docs-page faults drill feedload compose bench bench-quick costs costs-update dashboard-images

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

tools: ## install what the targets need besides Go: Debian packages, as root
	@bash .ci/tools

serve: ## build bin/clusterlite and run all of ClusterLite in one process, with its data in ./clusterlite-data; ARGS=… adds flags
	go build -ldflags="-s -w" -o bin/ ./clusterlite
	bin/clusterlite serve $(ARGS)

test: ## run all tests without further requirements: units, properties, the suite on one process
	go test -race -count=1 -vet=off $(PACKAGES) # make lint runs vet

lint: ## run gofmt, vet and staticcheck, check imports and sizes of packages, and build each module separately
	@test -z "$$(gofmt -l $(MODULES))" || { echo "gofmt:"; gofmt -l $(MODULES); exit 1; }
	bash .ci/versions $(MODULES)
	go mod verify
	go vet $(PACKAGES)
	go run $(STATICCHECK) $(PACKAGES)
	go test -count=1 ./e2e/structure
	@for m in $(MODULES); do echo "GOWORK=off go build ./... in $$m"; (cd $$m && GOWORK=off go mod tidy -diff && GOWORK=off go build ./... && GOWORK=off go vet ./...) || exit 1; done

vulncheck: ## report known vulnerabilities, and fail if an upgrade of a dependency fixes one that is linked
	@bash .ci/vulncheck $(GOVULNCHECK)

release-check: ## build all that a release consists of into dist/, and publish nothing; needs gcc-aarch64-linux-gnu; QUICK=1 builds one program
	@bash .ci/release-check $(GORELEASER) $(if $(QUICK),,$(CYCLONEDX))

packages: ## build the .deb and the .rpm for this machine's architecture into dist/, as VERSION=1.0.0
	@bash .ci/packages $(NFPM) dist $(or $(VERSION),1.0.0)

package-check: ## build the .deb and the .rpm, and install, run, upgrade and remove them in clean containers; also by the blocks of docs/how-to/install.md under systemd; needs Docker and the image debian:bookworm-slim
	@bash .ci/package-check $(NFPM) debian:bookworm-slim

diagram: ## draw the packages and their imports in docs/explanation/design.md
	go test -count=1 -run TestDiagram ./e2e/structure -update

fuzz: ## run each fuzz target for ten seconds, or FUZZTIME
	@bash .ci/fuzz $(MODULES)

scale: ## export a million entities and check that memory stays bounded
	CLUSTERLITE_SCALE=1 go test -count=1 -v -run Million ./queryapi

deploy-check: ## check the dashboard, alerts, Helm chart and Kubernetes manifests; needs promtool (Debian: prometheus)
	@test -z "$$(gofmt -l deploy)" || { echo "gofmt:"; gofmt -l deploy; exit 1; }
	cd deploy/check && GOWORK=off go vet ./... && GOWORK=off go test -count=1 ./...
	promtool check config deploy/prometheus/prometheus.yml
	promtool test rules deploy/prometheus/alerts_test.yml

kubernetes: ## create what the kustomize base and the chart render in a Kubernetes API server, which is built first: about five minutes of CPU
	@set -e; programs=$$(mktemp -d); trap 'rm -rf "$$programs"' EXIT; \
	(cd deploy/kubernetes/apiserver && GOWORK=off GOFLAGS= go build -ldflags "-s -w" -o "$$programs" go.etcd.io/etcd/server/v3 k8s.io/kubernetes/cmd/kube-apiserver); \
	cd deploy/check && CLUSTERLITE_KUBERNETES=$$programs GOWORK=off GOFLAGS= go test -count=1 -v -run TestAPIServer .

kubernetes-cluster: ## run the blocks of docs/how-to/run-on-kubernetes.md on three nodes with pods that run, under load; needs root, Docker with its containerd, Java 17 and Kafka's jars: see e2e/README.md
	@bash .ci/kubernetes-cluster $(HELM) $(CNI)

E2E := CLUSTERLITE_E2E=embedded,kafka,kafkasecurity,netns,browser,clients,upgrade,stores go test -race -count=1 -timeout 40m -v -run 'Cluster|DeposedLeader|Network|Browser|Client|Schemathesis|Nginx|Upgrade|Stores|Kafka|TLS'

e2e: e2e-waiting e2e-clusters ## test services behind nginx, on the embedded broker, on Apache Kafka and on a split network; a browser; generated clients; an upgrade; buckets: see e2e/README.md

e2e-waiting: ## run the part of make e2e that spends most of its time waiting: clients, hostile requests, a network that splits, security
	$(E2E) -p 2 -parallel 32 ./e2e/clients ./e2e/cluster ./e2e/hostile ./e2e/kafkasecurity ./e2e/tls

e2e-clusters: ## run the CPU-bound part of make e2e: clusters under load, a browser, an upgrade, buckets
	$(E2E) ./e2e

docs-page: ## fetch the script of /docs from its npm package and check its hash; VERSION=… upgrades it
	bash queryapi/reference/vendor.sh $(VERSION)

TIME ?= 10m
SEED ?=
BROKER ?= kafka

faults: ## inject faults into a cluster on Apache Kafka, or with BROKER=embedded on an embedded broker, for TIME=10m, from SEED, and check the answers that clients get: see e2e/README.md
	CLUSTERLITE_MODEL_TIME=30s go test -count=1 -run TestStoreIsItsModel ./clusterlite/serve
	CLUSTERLITE_E2E=netns CLUSTERLITE_FAULTS_TIME=$(TIME) CLUSTERLITE_FAULTS_SEED=$(SEED) CLUSTERLITE_FAULTS_BROKER=$(BROKER) go test -count=1 -timeout 0 -v -run "TestDisk|TestFaults" ./e2e/faults

drill: ## lose a store with all its disks, restore it from its snapshots alone, and print recovery point and time
	CLUSTERLITE_E2E=drill go test -race -count=1 -v -run TestDrill ./e2e

LOAD ?= 2m

dashboard-images: ## draw docs/images/dashboard from a load of LOAD=2m on a cluster, with CLUSTERLITE_E2E=kafka on Apache Kafka; needs nginx, chromium, prometheus and npm
	CLUSTERLITE_DASHBOARD_IMAGES=$(CURDIR)/docs/images/dashboard CLUSTERLITE_DASHBOARD_TIME=$(LOAD) go test -count=1 -timeout 0 -v -run TestDashboardImages ./e2e

feedload: ## measure the change feed: 1,000 clients, 1,000 events/s, and a node that dies every ten seconds; needs a quiet machine
	CLUSTERLITE_E2E=feedload go test -count=1 -v -run Full ./e2e/feedload

compose: ## build and run the Compose file unchanged; needs Docker with Compose v2
	CLUSTERLITE_E2E_COMPOSE=1 go test -count=1 -timeout 30m -v ./e2e/compose

bench: ## compare with rqlite, PocketBase and the machine's limits, about half an hour, and write docs/benchmarks.md; needs wrk and a quiet machine; ONLY=regexp for some rows
	cd bench && go run . -docs ../docs -only "$(or $(ONLY),.)"

bench-quick: ## one short round of bench without clusters and large stores, printed; under three minutes
	cd bench && go run . -quick -rounds 1 -duration 1s -entities 2000 -budget 150s -only "$(or $(ONLY),.)"

costs: ## compare allocations and compiled statements of the hot paths with bench/costs/limits.txt
	go run ./bench/costs

costs-update: ## set those limits to the values measured now
	go run ./bench/costs -update
