# Everything comes from Debian 12 packages; nothing is downloaded by the build.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# mwtun_dependency(NAME MODULE): an imported target from pkg-config, static where we link statically.
function(mwtun_dependency name module)
  pkg_check_modules(${name} REQUIRED QUIET IMPORTED_TARGET ${module})
  add_library(mwtun_dep_${name} INTERFACE)
  if(MWTUN_STATIC)
    target_link_libraries(mwtun_dep_${name} INTERFACE ${${name}_STATIC_LDFLAGS})
    target_include_directories(mwtun_dep_${name} SYSTEM INTERFACE ${${name}_STATIC_INCLUDE_DIRS})
  else()
    target_link_libraries(mwtun_dep_${name} INTERFACE PkgConfig::${name})
  endif()
endfunction()

mwtun_dependency(sodium libsodium)
mwtun_dependency(cares libcares)
mwtun_dependency(nl_route libnl-route-3.0)

# libcrypto is the quicker AEAD where it is there; without it all is libsodium's.
option(MWTUN_LIBCRYPTO "use OpenSSL's libcrypto for the data AEADs where it is found" ON)
if(MWTUN_LIBCRYPTO)
  pkg_check_modules(libcrypto QUIET IMPORTED_TARGET libcrypto>=3.0)
endif()
if(libcrypto_FOUND)
  mwtun_dependency(libcrypto libcrypto)
endif()

# Quicker still on x86-64. Its archive is one piece of 12 MiB, so a static program goes without.
option(MWTUN_IPSEC_MB "use libIPSec_MB for the data AEADs where it is found" ON)
if(MWTUN_IPSEC_MB AND NOT MWTUN_STATIC)
  find_library(IPSEC_MB_LIBRARY IPSec_MB)
  find_path(IPSEC_MB_INCLUDE_DIR intel-ipsec-mb.h)
endif()
if(IPSEC_MB_LIBRARY AND IPSEC_MB_INCLUDE_DIR)
  # From 1.3 on it tests itself.
  file(STRINGS ${IPSEC_MB_INCLUDE_DIR}/intel-ipsec-mb.h ipsec_mb_fits REGEX IMB_FEATURE_SELF_TEST_PASS)
endif()
if(ipsec_mb_fits)
  add_library(mwtun_dep_ipsec_mb INTERFACE)
  target_link_libraries(mwtun_dep_ipsec_mb INTERFACE ${IPSEC_MB_LIBRARY})
  target_include_directories(mwtun_dep_ipsec_mb SYSTEM INTERFACE ${IPSEC_MB_INCLUDE_DIR})
endif()

# The event loop on io_uring; without liburing there is the one on epoll.
option(MWTUN_URING "use io_uring where liburing is found" ON)
if(MWTUN_URING)
  pkg_check_modules(uring QUIET IMPORTED_TARGET liburing>=2.3)
endif()
if(uring_FOUND)
  mwtun_dependency(uring liburing)
endif()

find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_path(TOMLPLUSPLUS_INCLUDE_DIR toml++/toml.h REQUIRED)

add_library(mwtun_dep_toml INTERFACE)
target_include_directories(mwtun_dep_toml SYSTEM INTERFACE ${TOMLPLUSPLUS_INCLUDE_DIR})

# Asio's headers pull in Boost's. Debian has no static libfmt: where we link statically it is used
# header-only, which costs every file that formats some seconds of compiling.
add_library(mwtun_dep_asio INTERFACE)
target_link_libraries(mwtun_dep_asio INTERFACE Boost::headers Threads::Threads)
target_compile_definitions(mwtun_dep_asio INTERFACE BOOST_ASIO_NO_DEPRECATED)
add_library(mwtun_dep_fmt INTERFACE)
target_link_libraries(mwtun_dep_fmt INTERFACE
  $<IF:$<BOOL:${MWTUN_STATIC}>,fmt::fmt-header-only,fmt::fmt>)
