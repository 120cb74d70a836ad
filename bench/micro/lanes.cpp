// Chunks put in order: as they were sent, and with two links' worth of disorder.
#include <benchmark/benchmark.h>

#include "dataplane/in_lanes.hpp"

namespace mwtun {
namespace {

void reorder(benchmark::State& state) {
  const auto ahead = static_cast<std::uint32_t>(state.range(0));
  SlabPool slabs(2048, 4096);
  DropCounters drops;
  InLanes lanes(Limits{}, slabs, drops);
  std::uint32_t base = 0;
  const auto insert = [&](std::uint32_t sequence) {
    InChunk chunk;
    chunk.slab = slabs.take();
    chunk.size = 1400;
    chunk.first = chunk.last = true;
    lanes.insert(LaneId{1}, sequence & 0xffffff, std::move(chunk));
    while (lanes.ready()) benchmark::DoNotOptimize(lanes.take_ready());
  };
  for (auto _ : state) {
    // The second half of a block comes first, as by the nearer of two links.
    for (std::uint32_t i = 0; i < ahead; ++i) insert(base + ahead + i);
    for (std::uint32_t i = 0; i < ahead; ++i) insert(base + i);
    if (ahead == 0) insert(base);
    base += ahead == 0 ? 1 : 2 * ahead;
  }
  const std::int64_t chunks = ahead == 0 ? 1 : 2 * state.range(0);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * chunks);
}

BENCHMARK(reorder)->Arg(0)->Arg(16)->Arg(256);

}  // namespace
}  // namespace mwtun
