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
  if(MWTUN_LTO)
    # Fat: what links without -flto, as the tests do, takes the ordinary code.
    target_compile_options(mwtun_${name} PRIVATE -flto=auto -ffat-lto-objects)
  endif()
endfunction()

# mwtun_optional(NAME DEPENDENCY SOURCES regex INSTEAD regex): the library NAME uses DEPENDENCY where
# it was found, and has then the files of SOURCES, else those of INSTEAD.
function(mwtun_optional name dependency)
  cmake_parse_arguments(ARG "" "SOURCES;INSTEAD" "" ${ARGN})
  get_target_property(sources mwtun_${name} SOURCES)
  if(TARGET ${dependency})
    list(FILTER sources EXCLUDE REGEX ${ARG_INSTEAD})
    target_link_libraries(mwtun_${name} PRIVATE ${dependency})
  else()
    list(FILTER sources EXCLUDE REGEX ${ARG_SOURCES})
  endif()
  set_target_properties(mwtun_${name} PROPERTIES SOURCES "${sources}")
endfunction()

# mwtun_hot(TARGET): a program that carries or measures traffic is optimised as one piece.
function(mwtun_hot program)
  if(MWTUN_LTO)
    target_link_options(${program} PRIVATE -flto=auto)
  endif()
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
