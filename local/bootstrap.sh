#!/bin/sh
# Brings a machine to where `make up` and `make test` can run, and nothing further: system packages, two virtual
# environments, the compiled engine in both, the jars of Kafka and of Flink's connector, the sample data. With --tests
# also what only `make test` needs: Node.js, Chromium, the SDKs that the tests run, Helm, and what drives load; with
# --load, --peers and --bench what drives load, what is compared with the job, and the load generator wrk. Needs apt only
# for what is missing, and only as root; as anybody else it says what to install and stops. Each step leaves a stamp that
# holds the hash of what it was made from, so a second run does nothing, and a changed lock file brings up to date just
# what it locks. Everything it makes lies in .venv*, .jars, .tools, engine/target and tests/sdks/node_modules. Refuses a
# system other than Linux.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
umask 022

UV_VERSION=0.13.8 # the uv that wrote locks/; another one of the same 0.x reads them too
JAVA_LEAST=17
HELM_VERSION=v3.22.0
RUST_LEAST=85 # of 1.x; engine/Cargo.toml says the same
stamps=.tools/stamps

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "setup: $*"
    exit 1
}

[ "$(uname -s)" = Linux ] || fail "the local platform runs on Linux; this is $(uname -s). Use a Linux machine or VM."

# --- what the system must give -------------------------------------------------------------------------------------

# Prints the interpreter's own path, or fails with the word for what it lacks.
probe_python() {
    "$1" - 2>/dev/null <<'PY'
import importlib.util, os, sys, sysconfig
if sys.version_info[:2] not in ((3, 11), (3, 12)):
    sys.exit("version")
if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
    sys.exit("venv")
# Flink's TaskManagers load Python into the JVM, which takes the interpreter as a shared library.
places = [sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LIBPL")]
places += [os.path.join(places[0], sysconfig.get_config_var("MULTIARCH") or "")]
library = sysconfig.get_config_var("INSTSONAME") or ""
if ".so" not in library or not any(os.path.exists(os.path.join(place, library)) for place in places if place):
    sys.exit("libpython")
print(os.path.realpath(sys.executable))
PY
}

find_python() {
    # The system's first: one built on the machine is often without the optimisations of the distribution's.
    for candidate in ${PYTHON:-} /usr/bin/python3.11 /usr/bin/python3.12 python3.11 python3.12 python3; do
        if command -v "$candidate" >/dev/null 2>&1 && python=$(probe_python "$candidate"); then
            return 0
        fi
    done
    return 1
}

java_major() {
    java_bin=java
    [ -n "${JAVA_HOME:-}" ] && [ -x "$JAVA_HOME/bin/java" ] && java_bin=$JAVA_HOME/bin/java
    "$java_bin" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1
}

java_is_usable() {
    major=$(java_major) && [ -n "$major" ] && [ "$major" -ge "$JAVA_LEAST" ]
}

rust_is_usable() {
    has cargo && minor=$(rustc --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p') &&
        [ -n "$minor" ] && [ "$minor" -ge "$RUST_LEAST" ]
}

has() { command -v "$1" >/dev/null 2>&1; }

# The Debian packages of what is missing, in $missing.
look_for_missing() {
    missing=
    if ! find_python; then
        version=3.11
        [ ! -x /usr/bin/python3.11 ] && [ -x /usr/bin/python3.12 ] && version=3.12
        missing="python$version python$version-venv libpython$version"
    fi
    java_is_usable || missing="$missing openjdk-17-jre-headless"
    has mvn || missing="$missing maven"
    rust_is_usable || missing="$missing cargo-web rustc-web" # Debian 12's newer Rust
    has setpriv && has flock || missing="$missing util-linux"
    if [ -n "$with_tests" ]; then
        has node && has npm || missing="$missing nodejs npm"
        has chromium || missing="$missing chromium"
        has curl || missing="$missing curl" # the commands of README and tutorial
        has openssl || missing="$missing openssl" # certificates of the tests' own
    fi
    [ -z "$with_bench" ] || has wrk || missing="$missing wrk"
    missing=${missing# }
}

system_packages() {
    look_for_missing
    [ -z "$missing" ] && return 0
    if ! has apt-get || [ "$(id -u)" != 0 ]; then
        say "setup: this machine lacks what the local platform needs. Install it, then run the same command again:"
        say ""
        say "    sudo apt-get update && sudo apt-get install --no-install-recommends -y $missing"
        say ""
        say "(Python 3.11 or 3.12 with venv and its shared library, a Java $JAVA_LEAST runtime or newer, Maven, Rust 1.$RUST_LEAST or newer, util-linux."
        say "Elsewhere than on Debian, install the same by the system's own means; PYTHON and JAVA_HOME point at others.)"
        exit 1
    fi
    say "Installing with apt-get: $missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >.tools/apt.log 2>&1 || { tail -n 20 .tools/apt.log >&2 && fail "apt-get update failed"; }
    # shellcheck disable=SC2086  # a list of packages
    apt-get install -q -y --no-install-recommends $missing >>.tools/apt.log 2>&1 ||
        { tail -n 30 .tools/apt.log >&2 && fail "apt-get install $missing failed"; }
    look_for_missing
    [ -z "$missing" ] || fail "apt-get installed its packages, and these are still missing: $missing (see .tools/apt.log)"
}

# --- stamps --------------------------------------------------------------------------------------------------------

hash_of() { cat "$@" | sha256sum | cut -d' ' -f1; }

# stamped NAME HASH: true when the step NAME was done from the same inputs.
stamped() { [ -f "$stamps/$1" ] && [ "$(cat "$stamps/$1")" = "$2" ]; }

stamp() { printf '%s\n' "$2" >"$stamps/$1"; }

# --- the steps -----------------------------------------------------------------------------------------------------

uv_is_usable() {
    has "$1" && case "$("$1" --version 2>/dev/null)" in "uv ${UV_VERSION%.*}."*) true ;; *) false ;; esac
}

find_uv() {
    for uv in "${UV:-}" "$root/.tools/venv/bin/uv" uv; do
        [ -n "$uv" ] && uv_is_usable "$uv" && return 0
    done
    say "Fetching uv $UV_VERSION"
    "$python" -m venv --clear .tools/venv
    .tools/venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    uv=$root/.tools/venv/bin/uv
}

# environment FOLDER LOCK HASH: a virtual environment that holds exactly what LOCK says, and this project.
environment() {
    stamped "$1" "$3" && [ -x "$1/bin/python" ] && return 0
    say "Installing Python packages: $1"
    rm -f "$stamps/$1"
    if [ ! -x "$1/bin/python" ] || ! "$1/bin/python" -c '' 2>/dev/null; then
        "$uv" venv --quiet --clear --python "$python" "$1"
    fi
    "$uv" pip sync --quiet --require-hashes --python "$1/bin/python" "$2"
    "$uv" pip install --quiet --no-deps --python "$1/bin/python" --editable .
    rm -f "$stamps/engine-$1" # no lock has it, so it was taken out
    stamp "$1" "$3"
}

# What the engine is made from, as one hash.
hash_of_engine() { find engine -path engine/target -prune -o -type f -print | LC_ALL=C sort | xargs sha256sum | hash_of -; }

# engine FOLDER HASH: the compiled engine in a virtual environment; built once for both.
engine() {
    stamped "engine-$1" "$2" && return 0
    if ! stamped engine "$2"; then
        say "Building the engine"
        rm -rf .tools/engine
        "$uv" build --quiet --wheel --python "$python" --out-dir .tools/engine engine/python >.tools/engine.log 2>&1 ||
            { tail -n 30 .tools/engine.log >&2 && fail "the engine could not be built (see .tools/engine.log)"; }
        stamp engine "$2"
    fi
    "$uv" pip install --quiet --no-deps --reinstall --python "$1/bin/python" .tools/engine/audience_engine-*.whl
    stamp "engine-$1" "$2"
}

# jars NAME HASH: what local/NAME/pom.xml names, in .jars/NAME.
jars() {
    stamped "jars-$1" "$2" && [ -d ".jars/$1" ] && return 0
    say "Fetching jars: $1"
    rm -rf ".jars/$1" ".jars/$1.new"
    # shellcheck disable=SC2086  # options
    mvn --batch-mode --quiet --no-transfer-progress $maven_options --file "local/$1/pom.xml" \
        dependency:copy-dependencies -DoutputDirectory="$root/.jars/$1.new" >".tools/maven-$1.log" 2>&1 ||
        { tail -n 30 ".tools/maven-$1.log" >&2 && fail "Maven could not fetch the jars of $1 (see .tools/maven-$1.log)"; }
    mv ".jars/$1.new" ".jars/$1"
    stamp "jars-$1" "$2"
}

sample() {
    stamped sample "$1" && [ -f .tools/sample/lifetimes/datasets/CDNOW_master.txt ] && return 0
    say "Fetching the sample data"
    rm -rf .tools/sample
    "$uv" pip install --quiet --no-deps --require-hashes --python .venv/bin/python --target .tools/sample \
        --requirements local/sample/requirements.txt
    stamp sample "$1"
}

# sdk NAME HASH: what tests/sdks/NAME.txt names, in a folder of its own: two of one SDK's versions side by side.
sdk() {
    stamped "sdk-$1" "$2" && [ -d ".tools/sdks/$1" ] && return 0
    say "Fetching an SDK for the tests: $1"
    rm -rf ".tools/sdks/$1"
    "$uv" pip install --quiet --require-hashes --python .venv/bin/python --target ".tools/sdks/$1" \
        --requirements "tests/sdks/$1.txt"
    stamp "sdk-$1" "$2"
}

node_sdks() {
    stamped sdk-node "$1" && [ -d tests/sdks/node_modules ] && return 0
    say "Fetching the SDKs for JavaScript for the tests"
    npm --prefix tests/sdks ci --silent >.tools/npm.log 2>&1 ||
        { tail -n 30 .tools/npm.log >&2 && fail "npm ci failed (see .tools/npm.log)"; }
    stamp sdk-node "$1"
}

# Helm for the chart's tests: Debian has no package of it. Built by Go, which PyPI carries where the machine has none.
build_helm() {
    stamped helm "$1" && [ -x .tools/bin/helm ] && return 0
    if has helm; then # the machine's own, wherever it came from
        stamp helm "$1"
        return 0
    fi
    go=go
    if ! has go; then
        say "Fetching Go, to build Helm"
        "$uv" pip install --quiet --require-hashes --python .venv/bin/python --target .tools/go \
            --requirements tests/chart/go.txt
        go=$root/.tools/go/go/bin/go
    fi
    say "Building Helm $HELM_VERSION for the tests; this takes some minutes"
    mkdir -p .tools/bin
    # Built without these, it takes another Kubernetes for granted than its releases do.
    kube=
    for package in chartutil lint/rules; do
        kube="$kube -X helm.sh/helm/v3/pkg/$package.k8sVersionMajor=1"
        kube="$kube -X helm.sh/helm/v3/pkg/$package.k8sVersionMinor=34"
    done
    GOBIN=$root/.tools/bin GOFLAGS=-trimpath CGO_ENABLED=0 GOTOOLCHAIN=local "$go" install \
        -ldflags "-s -w $kube" "helm.sh/helm/v3/cmd/helm@$HELM_VERSION" >.tools/helm.log 2>&1 ||
        { tail -n 30 .tools/helm.log >&2 && fail "Helm could not be built (see .tools/helm.log)"; }
    stamp helm "$1"
}

# An account without a usable home (a service account, a bare container) gets one here for the caches.
home_for_caches() {
    maven_options=
    if [ -z "${HOME:-}" ] || [ ! -w "$HOME" ]; then
        HOME=$root/.tools/home
        mkdir -p "$HOME"
        export HOME
        maven_options="-Dmaven.repo.local=$HOME/m2"
    fi
}

main() {
    with_tests=
    beside=
    with_bench=
    case "${1:-}" in
    "") ;;
    --tests) with_tests=yes ;;
    --bench) with_bench=yes ;;
    --print-uv) # for locks/compile.sh
        python=$(.venv/bin/python -c 'import sys; print(sys.executable)')
        find_uv
        printf '%s\n' "$uv"
        return 0
        ;;
    --load | --peers) beside=${1#--} ;;
    *) fail "unknown option $1; there are --tests, --load, --peers, --bench and --print-uv" ;;
    esac
    mkdir -p "$stamps" .jars
    if has flock; then # two commands at once (make up, make test) take turns
        exec 9>.tools/lock
        flock 9
    fi
    home_for_caches
    export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 "UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180}"

    dev=$(hash_of locks/dev.txt pyproject.toml)
    flink=$(hash_of locks/flink.txt pyproject.toml)
    kafka_jars=$(hash_of local/kafka/pom.xml)
    flink_jars=$(hash_of local/flink/pom.xml)
    data=$(hash_of local/sample/requirements.txt)
    itself=$(hash_of local/bootstrap.sh) # what it looks for may have become more
    compiled=$(hash_of_engine)
    everything="$itself $dev $flink $compiled $kafka_jars $flink_jars $data"
    all=all
    if [ -n "$with_tests" ]; then
        old_segment=$(hash_of tests/sdks/segment-2.3.4.txt)
        rudder=$(hash_of tests/sdks/rudder.txt)
        node=$(hash_of tests/sdks/package.json tests/sdks/package-lock.json)
        helm_hash=$(printf '%s' "$HELM_VERSION" | sha256sum | cut -d' ' -f1)
        everything="$everything $old_segment $rudder $node $helm_hash"
        all=all-tests
    fi
    if [ -n "$with_tests" ]; then
        beside=load # the tests of the load drive a server
    fi
    if [ -n "$beside" ]; then
        this=$(hash_of "locks/$beside.txt" pyproject.toml)
        everything="$everything $this"
        [ -n "$with_tests" ] || all=all-$beside
    fi
    # Everything stands as it was stamped, and the interpreter, Java and setpriv are still there: nothing to do.
    if stamped "$all" "$everything" && java_is_usable && has setpriv && { [ -z "$with_bench" ] || has wrk; } &&
        .venv/bin/python -c '' 2>/dev/null && .venv-flink/bin/python -c '' 2>/dev/null; then
        return 0
    fi
    rm -f "$stamps/$all"

    system_packages
    find_uv
    (jars kafka "$kafka_jars" && jars flink "$flink_jars") & # Maven waits for the network while uv unpacks
    maven=$!
    environment .venv locks/dev.txt "$dev"
    environment .venv-flink locks/flink.txt "$flink"
    engine .venv "$compiled"
    engine .venv-flink "$compiled"
    sample "$data"
    wait "$maven" || exit 1
    .venv-flink/bin/python -m find_libpython >/dev/null ||
        fail "Python's shared library was not found from .venv-flink: remove .venv-flink and run this again"
    if [ -n "$with_tests" ]; then
        sdk segment-2.3.4 "$old_segment"
        sdk rudder "$rudder"
        node_sdks "$node"
        build_helm "$helm_hash"
    fi
    if [ -n "$beside" ]; then
        environment ".venv-$beside" "locks/$beside.txt" "$this"
        engine ".venv-$beside" "$compiled"
    fi
    stamp "$all" "$everything"
    say "Set-up is complete."
}

main "$@"
