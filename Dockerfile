# The worker as an image of about 47 MB: one binary, the libraries that it is linked with, root certificates. No shell.
#
#   docker build --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" -t trailkeeper .
#
# docs/deploy.md says how to run it. Whoever wants to be sure of the two base images names them by digest.

# As old a Debian as the library C of the final image may be: both are bookworm.
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock askama.toml ./
COPY benches benches
COPY config config
COPY examples examples
COPY jobs jobs
COPY migrations migrations
COPY src src
# The same bytes wherever it is built: no path of this machine goes into the binary, nor a time.
ARG SOURCE_DATE_EPOCH=0
ENV RUSTFLAGS="--remap-path-prefix=/build=/trailkeeper --remap-path-prefix=/usr/local/cargo=/cargo" \
    CFLAGS="-ffile-prefix-map=/usr/local/cargo=/cargo -ffile-prefix-map=/build=/trailkeeper"
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --profile dist --bin trailkeeper \
    && install -D target/dist/trailkeeper /image/usr/bin/trailkeeper
# What the dynamic loader would load, at the places where it looks, and where the worker's own files are if no volume is there.
# 65532 is the user "nonroot" of the final image.
RUN ldd /image/usr/bin/trailkeeper | grep -o '/[^ ]*' | while read -r library; do install -D "$library" "/image$library"; done \
    && install -d -o 65532 -g 65532 -m 0700 /image/var/lib/trailkeeper \
    && size=$(du -s --block-size=1M /image | cut -f1) \
    && if [ "$size" -gt 55 ]; then echo "the image would be larger than 60 MB: $size MB without its base" >&2; exit 1; fi

# Root certificates, time zones, a user and no shell: 2 MB.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /image /
ENV TRAILKEEPER__METRICS__LISTEN=0.0.0.0:9464 \
    TRAILKEEPER__LOG__FORMAT=json
USER 65532:65532
VOLUME /var/lib/trailkeeper
# Metrics, /livez and /readyz. The HTTP interface is off unless http.listen is set.
EXPOSE 9464
# SIGTERM drains: allow jobs.drain_seconds (25) and 20 s more before anything else is sent.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/usr/bin/trailkeeper", "health"]
ENTRYPOINT ["/usr/bin/trailkeeper"]
CMD ["run"]
