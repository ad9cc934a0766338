#!/bin/sh
# Format, lint and tests of the engine. Debian's Rust comes without rustfmt and clippy, and has no package of them: there
# it says so and goes on to the tests. Where rustup could add them, their absence is an error.
set -eu
cd "$(dirname "$0")"

with() {
    if cargo "$1" --version >/dev/null 2>&1; then
        cargo "$@"
    elif command -v rustup >/dev/null 2>&1; then
        echo "engine: cargo $1 is not installed: rustup component add rustfmt clippy" >&2
        exit 1
    else
        echo "engine: this Rust has no cargo $1, so that check is left out" >&2
    fi
}

with fmt --all --check
with clippy --quiet --all-targets -- -D warnings
cargo test --quiet -p audience-engine-core
