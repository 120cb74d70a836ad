# Sourced by ./dev: configuring and building presets.
# shellcheck shell=bash disable=SC2154

# configure PRESET [CMAKE OPTION...]
configure() {
  local preset=$1
  shift
  local -a options=("$@")
  if command -v ccache >/dev/null; then
    options+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  mkdir -p build
  if ! cmake --preset "$preset" "${options[@]}" >"build/$preset.log" 2>&1; then
    cat "build/$preset.log" >&2
    exit 1
  fi
}

# build PRESET TARGET...: one line in twenty-five tells the progress, the log has it all.
build() {
  local preset=$1 log="build/$1.log" started=$SECONDS
  shift
  [[ -f build/$preset/build.ninja ]] || configure "$preset"
  say "building $preset: $*"
  if ! NINJA_STATUS='[%f/%t] ' ninja -C "build/$preset" "$@" 2>&1 | tee "$log" | progress; then
    tail -n 100 "$log" >&2
    say "building $preset failed; the whole log: $log"
    exit 1
  fi
  [[ $((SECONDS - started)) -lt 2 ]] || say "built $preset in $((SECONDS - started)) s"
}

# Of ninja's lines, one in twenty-five.
progress() {
  local step
  while read -r step _; do
    if [[ $step =~ ^\[([0-9]+)/[0-9]+\]$ ]] && ((BASH_REMATCH[1] > 0 && BASH_REMATCH[1] % 25 == 0)); then
      printf '   %s\n' "$step"
    fi
  done
}

# build_command [PRESET] [TARGET...]
build_command() {
  local preset=${1:-release}
  [[ $# -eq 0 ]] || shift
  case $preset in
    release | dev | asan | tsan | fuzz | static) ;;
    *)
      echo "./dev build: no preset '$preset'; there are release, dev, asan, tsan, fuzz, static" >&2
      exit 64
      ;;
  esac
  [[ $preset != fuzz ]] || need_packages "${packages_fuzz[@]}"
  if [[ $# -eq 0 ]]; then
    set -- mwtun
    [[ $preset == fuzz || $preset == static ]] || set -- mwtun linkem
  fi
  build "$preset" "$@"
}

# The test programs of a configured preset whose names match a pattern, one a line.
preset_tests() {
  ninja -C "build/$1" -t targets all | sed -n 's|^\(.*/\)\?\([^/:]*\): CXX_EXECUTABLE_LINKER.*|\2|p' |
    grep -E "$2"
}

# The fuzz programs, by path inside build/fuzz.
fuzz_programs() {
  ninja -C build/fuzz -t targets all | sed -n 's|^\(.*fuzz_[^/:]*\): CXX_EXECUTABLE_LINKER.*|\1|p'
}
