#!/bin/sh
# Write the lock files anew. They hold hashes and no addresses, so that they install from any index or mirror.
# docs/adr/0002-lock-files.md
set -eu
cd "$(dirname "$0")/.."
compile() {
    out=$1
    shift
    "${UV:-uv}" pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --custom-compile-command 'make lock' --output-file "$out" "$@"
}
compile locks/services.txt --extra services
compile locks/flink.txt --extra flink
compile locks/dev.txt --extra services --extra local --extra dev --constraint locks/services.txt
compile locks/load.txt --extra services --extra load --constraint locks/services.txt
compile locks/peers.txt --extra peers
