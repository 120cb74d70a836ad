#include "dataplane/io/kernel_version.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;

TEST_CASE("a kernel's version is told from its release, however that goes on") {
  CHECK(kernel_version_of("6.1.0-13-amd64") == 6'001'000);
  CHECK(kernel_version_of("6.18-rc3") == 6'018'000);
  CHECK(kernel_version_of("6.18.0") > kernel_version_of("6.2.16"));
  CHECK(kernel_version_of("5.15.167.4-microsoft-standard-WSL2") == 5'015'167);
  CHECK(kernel_version_of("4.9.4000") == 4'009'999);
  CHECK(kernel_version_of("next") == 0);
  CHECK(kernel_version_of("") == 0);
}

TEST_CASE("the running kernel has a version") {
  CHECK(kernel_version() > 3'000'000);
}
