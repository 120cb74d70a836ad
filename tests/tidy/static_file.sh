#!/usr/bin/env bash
# static_file.sh PROGRAM: the program is one stripped static-pie file that needs nothing to run.
set -euo pipefail
program=$1 failed=0
check() {
  local claim=$1
  shift
  if "$@"; then echo "ok   $claim"; else echo "FAIL $claim"; failed=1; fi
}
says() { grep -q -- "$1" <<<"$2"; }
silent() { ! says "$@"; }

headers=$(readelf -ldW "$program")
sections=$(readelf -SW "$program")
check 'it has no interpreter' silent 'INTERP' "$headers"
check 'it needs no shared library' silent 'NEEDED' "$headers"
check 'it can be loaded anywhere (PIE)' says 'Elf file type is DYN' "$headers"
check 'its relocations are read-only (RELRO)' says 'GNU_RELRO' "$headers"
check 'its stack is not executable' says 'GNU_STACK.*RW ' "$headers"
check 'it has no symbols' silent '\.symtab' "$sections"
check 'it runs with an empty environment' env -i "$program" --version
exit "$failed"
