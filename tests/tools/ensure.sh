#!/usr/bin/env bash
# Puts every program that the tests and the demo run into one folder and prints that folder's path (last line of standard output).
#
# A program is taken, in this order, from $KUBEBUILDER_ASSETS, from PATH if its version fits, and otherwise built with Go from the
# module versions pinned beside this script. What was built stays in a cache keyed by go.sum and the flags: once per machine.
#
# With --check nothing is built: it fails if something has to be and what builds it is missing. With --keda KEDA is there too.
set -euo pipefail

check='' keda=''
case ${1:-} in
  --check) check=yes ;;
  --keda) keda=yes ;;
esac

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PRIMETIME_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/primetime}

kubernetes=v1.36.3
helm=v4.3.1
prometheus=3.15.0
kwok=v0.8.0
moto=5.2.5

# Helm refuses the version that an unstamped Kubernetes build reports, hence the -X settings.
kubernetes_flags="-s -w -X k8s.io/component-base/version.gitVersion=$kubernetes -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36 -X k8s.io/component-base/version.gitTreeState=clean"
companion_flags="-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=$kwok -X helm.sh/helm/v4/internal/version.version=$helm -X github.com/prometheus/common/version.Version=$prometheus"
# Service discoveries of every cloud would triple the build; static, file and http discovery stay.
companion_tags=remove_all_sd

say() { printf 'tools: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
seconds_since() { printf '%s s' "$(( $(date +%s) - $1 ))"; }

# The first MAJOR.MINOR in what a program prints of its version.
version_of() { { "$@" 2>/dev/null || true; } | grep -oE '[0-9]+\.[0-9]+' | head -n 1 || true; }

# fits FOUND LEAST: FOUND is a version not older than LEAST.
fits() { [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# existing NAME LEAST VERSION-ARGUMENT...: the path of a fitting program that is already there, or nothing.
existing() {
  local name=$1 least=$2 path
  shift 2
  for path in "${KUBEBUILDER_ASSETS:+$KUBEBUILDER_ASSETS/$name}" "$(command -v "$name" || true)"; do
    case $path in /*) ;; *) path=$PWD/$path ;; esac
    if [ -f "$path" ] && [ -x "$path" ] && fits "$(version_of "$path" "$@")" "$least"; then
      printf '%s' "$path"
      return
    fi
  done
}

# As Go names it.
platform="$(uname -sm | tr '[:upper:]' '[:lower:]' | sed -E 's/x86_64/amd64/; s/aarch64/arm64/') "

# build MODULE FLAGS TAGS EXPECTATION: builds the tools of one module, once per content.
build() {
  local module=$1 flags=$2 tags=$3 expectation=$4 key bin started
  key=$(cat "$here/$module/go.mod" "$here/$module/go.sum" <(printf '%s %s %s' "$flags" "$tags" "$platform") | sha256sum | cut -c1-16)
  bin=$cache/$module-$key
  if [ ! -e "$bin/.complete" ]; then
    fits "$(version_of go version)" 1.26 || die "Go 1.26 or newer is needed to build ${missing[*]}; install it from https://go.dev/dl/, or put them on PATH (the control plane's also into KUBEBUILDER_ASSETS)"
    if [ -n "$check" ]; then
      say "${missing[*]} will be built with Go: $expectation the first time, into $bin"
      return 0
    fi
    say "building $module with Go into $bin: $expectation the first time, never again on this machine"
    mkdir -p "$bin"
    started=$(date +%s)
    ( cd "$here/$module" && GOBIN=$bin CGO_ENABLED=0 go install -v -tags "$tags" -ldflags "$flags" tool ) 2>"$bin/build.log" &
    local builder=$!
    trap 'kill $builder 2>/dev/null || true' EXIT
    local tick=0
    while kill -0 $builder 2>/dev/null; do
      sleep 1
      tick=$((tick + 1))
      [ $((tick % 30)) -ne 0 ] || say "  $(seconds_since "$started"): $(grep -vc downloading "$bin/build.log" || true) packages compiled"
    done
    trap - EXIT
    wait $builder || { tail -n 20 "$bin/build.log" >&2; die "building $module failed; the whole log is $bin/build.log"; }
    touch "$bin/.complete"
    say "built $module in $(seconds_since "$started")"
  fi
  built=$bin
}

built=
bin=$cache/bin-$(printf '%s' "$here ${KUBEBUILDER_ASSETS:-} ${PRIMETIME_TEST_CONTEXT:-} $PATH" | sha256sum | cut -c1-16)
# Replaced one by one and at once: another process may be running these.
link() {
  [ -z "$check" ] || return 0
  mkdir -p "$bin"
  ln -sfn "$2" "$bin/.$1.$$"
  mv -f "$bin/.$1.$$" "$bin/$1"
}

missing=()
take() {
  local name=$1 path
  path=$(existing "$@")
  if [ -n "$path" ]; then link "$name" "$path"; else missing+=("$name"); fi
}
# A cluster that is already there needs no control plane of ours.
if [ -z "${PRIMETIME_TEST_CONTEXT:-}" ]; then
  take etcd 3.6 --version
  # The tests emulate 1.33 and 1.34: an API server emulates minors before its own, three at most.
  take kube-apiserver 1.34 --version
  take kube-controller-manager 1.33 --version
  take kube-scheduler 1.33 --version
fi
take kubectl 1.33 version --client
if [ ${#missing[@]} -gt 0 ]; then
  build kubernetes "$kubernetes_flags" "" "about 10 minutes on two cores"
  for name in "${missing[@]}"; do
    case $name in
      etcd) link etcd "$built/server" ;; # the module names its main package after the folder
      *) link "$name" "$built/$name" ;;
    esac
  done
fi

missing=()
take helm 3.16 version --short
take prometheus 3.0 --version
take promtool 3.0 --version
take kwok 0.7 --version
if [ ${#missing[@]} -gt 0 ]; then
  build companions "$companion_flags" "$companion_tags" "about 4 minutes on two cores"
  for name in "${missing[@]}"; do link "$name" "$built/$name"; done
fi

# KEDA's operator and its metrics API, for the tests that are about it.
if [ -n "$keda" ]; then
  missing=(KEDA)
  build keda "-s -w" "" "about 6 minutes on two cores"
  link keda-operator "$built/operator" # the module names its main packages after their folders
  link keda-adapter "$built/adapter"
fi

# definitions NAME FOLDER MODULE PATH: the definitions that a Go module carries. Nothing has to be built.
definitions() {
  ( cd "$here/$2" && go mod download "$3" ) || die "the definitions of $3 could not be fetched with Go"
  link "$1" "$(cd "$here/$2" && go list -m -f '{{.Dir}}' "$3")/$4"
}

if [ -z "$check" ]; then
  definitions gateway-definitions gateway sigs.k8s.io/gateway-api config/crd/standard
  definitions keda-definitions keda github.com/kedacore/keda/v2 config/crd/bases
fi

# The EC2 API server, in a virtual environment of its own.
moto_server=$(existing moto_server 5.2 --version)
if [ -n "$moto_server" ]; then
  link moto_server "$moto_server"
else
  venv=$cache/moto-$moto
  if [ ! -e "$venv/.complete" ]; then
    python3 -c 'import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
      die "Python 3.10 or newer with venv is needed for the EC2 API server (moto); on Debian: apt-get install python3 python3-venv"
    [ -z "$check" ] || { say "moto $moto (EC2 API server) will be installed into $venv: about half a minute"; exit 0; }
    say "installing moto $moto (EC2 API server) into $venv: about half a minute"
    rm -rf "$venv"
    python3 -m venv "$venv" || die "python3 -m venv failed; on Debian: apt-get install python3-venv"
    "$venv/bin/pip" install --quiet --requirement "$here/moto/requirements.txt" >&2 || die "pip could not install moto"
    touch "$venv/.complete"
  fi
  link moto_server "$venv/bin/moto_server"
fi

[ -z "$check" ] || exit 0
printf '%s\n' "$bin"
