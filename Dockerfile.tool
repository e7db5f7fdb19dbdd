# The operator's tool, for a cluster whose admin listeners only containers can reach. The image
# has one static binary and no base.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY events events
COPY projections projections
COPY service service
COPY commands commands
COPY queryapi queryapi
COPY clusterlite clusterlite
ARG VERSION=dev
# The builds of all images share a cache of what Go downloads and compiles. They take turns
# (sharing=locked), so that only the first one compiles SQLite and the other dependencies. SQLite is C
# code: it is linked statically, with Go's own resolver, so that the image needs no C library.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build,sharing=locked \
    cd clusterlite && GOWORK=off CGO_ENABLED=1 CGO_CFLAGS=-O2 go build -trimpath -buildvcs=false \
      -tags netgo,osusergo,sqlite_omit_load_extension,sqlite_fts5,grpcnotrace \
      -ldflags "-s -w -linkmode external -extldflags '-static' -X github.com/clusterlite/clusterlite/service/process.version=${VERSION}" \
      -o /out/clusterlite .
RUN mkdir -p /out/folders/tmp /out/folders/snapshots && chmod 1777 /out/folders/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/clusterlite /clusterlite
# /tmp is for temporary read models. They may be large, so it is a volume on disk.
COPY --from=build --chown=65532:65532 /out/folders /
USER 65532:65532
ENV TMPDIR=/tmp SQLITE_TMPDIR=/tmp
VOLUME /tmp
ENTRYPOINT ["/clusterlite"]
