#!/usr/bin/env bash
# fuzz_one.sh PROGRAM SECONDS: runs one libFuzzer program from its corpus. A find is left beside the
# program as NAME-crash-…; running the program with that file as argument shows it again.
set -euo pipefail
program=$1 seconds=$2
name=$(basename "$program")
folder=$(dirname "$(readlink -f "$program")")
root=$(dirname "$(dirname "$(readlink -f "$0")")")
finds=$folder/$name-corpus
mkdir -p "$finds"
corpus=("$finds")
for seeds in "$root/tests/fuzz/corpus/$name" "$root/tests/fuzz/corpus/${name#fuzz_}"; do
  [[ ! -d $seeds ]] || corpus+=("$seeds")
done
log=$(mktemp "$folder/$name.XXXXXX.log")
trap 'rm -f "$log"' EXIT
if ! "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
  -artifact_prefix="$folder/$name-" "${corpus[@]}" >"$log" 2>&1; then
  tail -n 60 "$log"
  echo "FAIL $name"
  exit 1
fi
echo "ok $name: $(awk '/stat::number_of_executed_units/ { print $2 }' "$log") inputs in $seconds s"
