include_guard()

# mwtun_library(NAME [DEPS target...] [PRIVATE_DEPS target...])
# One library a folder: every *.cpp beside the CMakeLists.txt. DEPS are visible to users of the
# headers, PRIVATE_DEPS are not. The arrows between folders are exactly these lists.
function(mwtun_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;PRIVATE_DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  add_library(mwtun_${name} STATIC ${sources})
  add_library(mwtun::${name} ALIAS mwtun_${name})
  target_include_directories(mwtun_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(mwtun_${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS} mwtun_warnings)
endfunction()

# mwtun_test(NAME [DEPS target...] [TIMEOUT seconds] [LABELS label...])
# One test program a folder: every *.cpp beside the CMakeLists.txt, with Catch2's main.
function(mwtun_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "DEPS;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} mwtun_catch mwtun_warnings)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_precompile_headers(${name} REUSE_FROM mwtun_catch)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
    SKIP_RETURN_CODE 77)
endfunction()
