# The operator's tool, for a cluster whose admin listeners are reached from containers
# alone. One static binary on nothing.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY events events
COPY projections projections
COPY service service
COPY commands commands
COPY queryapi queryapi
COPY clusterlite clusterlite
ARG VERSION=dev
# What Go downloads and compiles is kept between builds, and shared by those of all images.
# SQLite is C: linked statically, with Go's own resolver, so that no C library is missed.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    cd clusterlite && GOWORK=off CGO_ENABLED=1 go build -trimpath -buildvcs=false \
      -tags netgo,osusergo,sqlite_omit_load_extension \
      -ldflags "-s -w -linkmode external -extldflags '-static' -X github.com/clusterlite/clusterlite/service/process.version=${VERSION}" \
      -o /out/clusterlite . \
 && mkdir -p /out/tmp /out/snapshots && chmod 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/clusterlite /clusterlite
# Read models that it builds to compare with are here, and may be large: no memory.
COPY --from=build --chown=65532:65532 /out/tmp /tmp
COPY --from=build --chown=65532:65532 /out/snapshots /snapshots
USER 65532:65532
ENV TMPDIR=/tmp SQLITE_TMPDIR=/tmp
VOLUME /tmp
ENTRYPOINT ["/clusterlite"]
