# docker build -t REGISTRY/primetime:0.1.1 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package primetime

# No shell, no package manager, not root; the binary links glibc only.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/primetime /primetime
ENTRYPOINT ["/primetime"]
