// The choice of a link for one datagram.
#include <benchmark/benchmark.h>

#include <vector>

#include "sched/scheduler.hpp"

namespace mwtun {
namespace {

void pick(benchmark::State& state, SchedulerKind kind) {
  std::vector<LinkView> views;
  for (std::uint8_t i = 0; i < state.range(0); ++i) {
    views.push_back({.id = LinkId{i},
                     .tier = LinkTier::healthy,
                     .rate_bps = 50'000'000u + i * 10'000'000u,
                     .rate_proven = true,
                     .one_way = milliseconds(5 + i)});
  }
  Scheduler scheduler(kind);
  scheduler.update(views, Instant{seconds(1)});
  std::uint64_t flow = 0;
  for (auto _ : state) {
    const auto chosen = scheduler.pick(views, 1514, ++flow, {}, false, 100'000);
    if (chosen) scheduler.sent(*chosen, 1514);
    benchmark::DoNotOptimize(chosen);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

BENCHMARK_CAPTURE(pick, adaptive, SchedulerKind::adaptive)->Arg(1)->Arg(2)->Arg(8);
BENCHMARK_CAPTURE(pick, round_robin, SchedulerKind::round_robin)->Arg(2);
BENCHMARK_CAPTURE(pick, hash, SchedulerKind::hash)->Arg(2);

}  // namespace
}  // namespace mwtun
