# The command service, which accepts writes. The image has one static binary and no base.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY events events
COPY projections projections
COPY service service
COPY commands commands
ARG VERSION=dev
# The builds of all images share a cache of what Go downloads and compiles. They take turns
# (sharing=locked), so that only the first one compiles SQLite and the other dependencies. SQLite is C
# code: it is linked statically, with Go's own resolver, so that the image needs no C library.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build,sharing=locked \
    cd commands && GOWORK=off CGO_ENABLED=1 CGO_CFLAGS=-O2 go build -trimpath -buildvcs=false \
      -tags netgo,osusergo,sqlite_omit_load_extension,sqlite_fts5,grpcnotrace \
      -ldflags "-s -w -linkmode external -extldflags '-static' -X github.com/clusterlite/clusterlite/service/process.version=${VERSION}" \
      -o /out/clusterlite-command ./cmd/clusterlite-command \
 && mkdir -p /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/clusterlite-command /clusterlite-command
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV CLUSTERLITE_DATA_DIR=/data SQLITE_TMPDIR=/data
# A restarted container finds its file here. A new one builds its file from the log.
VOLUME /data
EXPOSE 8081
HEALTHCHECK --interval=2s --timeout=3s --start-period=60s --retries=3 CMD ["/clusterlite-command", "healthcheck"]
ENTRYPOINT ["/clusterlite-command"]
