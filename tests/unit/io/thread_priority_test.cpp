#include "dataplane/io/thread_priority.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

namespace mwtun {
namespace {

int nice_of_this_thread() {
  return getpriority(PRIO_PROCESS, 0);
}

/// On a thread of its own, which takes what it was given with it.
template <typename Do>
void on_a_thread(Do&& act) {
  std::thread(act).join();
}

TEST_CASE("a thread gets its niceness, and no other thread does") {
  const int before = nice_of_this_thread();
  int inside = before;
  bool set = false;
  on_a_thread([&] {
    set = set_thread_nice(before + 3).ok();
    inside = nice_of_this_thread();
  });
  CHECK(set);
  CHECK(inside == before + 3);
  CHECK(nice_of_this_thread() == before);
}

TEST_CASE("nice 0 leaves a thread as it is") {
  int inside = 0;
  on_a_thread([&] {
    setpriority(PRIO_PROCESS, 0, 7);
    CHECK(set_thread_nice(0).ok());
    inside = nice_of_this_thread();
  });
  CHECK(inside == 7);
}

TEST_CASE("the niceness mwtun was started with stands unless the file has one") {
  int ordinary = 0, chosen = -1;
  on_a_thread([&] {
    if (getpriority(PRIO_PROCESS, 0) == 0) ordinary = unasked_nice();
    setpriority(PRIO_PROCESS, 0, 5);
    chosen = unasked_nice();
  });
  if (nice_of_this_thread() == 0) CHECK(ordinary == nice_usual);
  CHECK(chosen == 0);
}

TEST_CASE("a policy of somebody's choice stands") {
  int policy = -1, unasked = -1;
  on_a_thread([&] {
    const sched_param none{};
    if (sched_setscheduler(0, SCHED_BATCH, &none) != 0) return;
    unasked = unasked_nice();
    CHECK(set_thread_nice(5).ok());
    policy = sched_getscheduler(0);
  });
  CHECK(policy == SCHED_BATCH);
  CHECK(unasked == 0);
}

TEST_CASE("who may go ahead of others does, and who may not is told why") {
  if (geteuid() != 0) {
    WARN("skipped: needs root");
    return;
  }
  int inside = 0;
  on_a_thread([&] {
    CHECK(set_thread_nice(-10).ok());
    inside = nice_of_this_thread();
  });
  CHECK(inside == -10);

  std::string told;
  on_a_thread([&] {
    // The call itself, since glibc's changes all threads.
    if (syscall(SYS_setresuid, 65534, 65534, 65534) != 0) return;
    const Result<void> set = set_thread_nice(-10);
    if (!set) told = set.error().message;
    inside = nice_of_this_thread();
  });
  CHECK(told.find("cannot give the data threads nice -10") == 0);
  CHECK(told.find("CAP_SYS_NICE") != std::string::npos);
  CHECK(inside == 0);
}

}  // namespace
}  // namespace mwtun
