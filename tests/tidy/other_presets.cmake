# With MWTUN_ALL_PRESETS (./dev test sets it) the release build's ctest also runs what the other presets
# built, so that one list of tests is the whole truth. They are configured before this one.
set(root ${PROJECT_SOURCE_DIR}/build)

# Each of a preset's own tests whose name matches becomes PRESET.NAME here, except those whose name
# matches `without`.
function(tests_of_preset preset pattern without)
  execute_process(COMMAND ${CMAKE_CTEST_COMMAND} --test-dir ${root}/${preset} --show-only=json-v1
    OUTPUT_VARIABLE json COMMAND_ERROR_IS_FATAL ANY)
  string(JSON count LENGTH "${json}" tests)
  if(count EQUAL 0)
    message(FATAL_ERROR "preset ${preset} has no tests; it must be configured before this one")
  endif()
  math(EXPR last "${count} - 1")
  foreach(index RANGE ${last})
    string(JSON name GET "${json}" tests ${index} name)
    if(name MATCHES "${pattern}" AND NOT name MATCHES "${without}")
      # Some kernels place a program where the thread sanitizer's shadow must be: setarch -R keeps it away.
      add_test(NAME ${preset}.${name} COMMAND setarch -R ${CMAKE_CTEST_COMMAND}
        --test-dir ${root}/${preset} -R ^${name}$ --output-on-failure --no-tests=error)
      set_tests_properties(${preset}.${name} PROPERTIES LABELS ${preset} TIMEOUT 600)
      if(name STREQUAL sim_seeds)
        set_tests_properties(${preset}.${name} PROPERTIES PROCESSORS 2)
      endif()
    endif()
  endforeach()
endfunction()

tests_of_preset(asan "^(unit|sim|vectors)" "planted|linkem")
tests_of_preset(tsan "^unit_(io|cli)$" "^$")
foreach(loop IN ITEMS epoll io_uring)
  netns_test(tsan.netns_smoke_${loop} ${PROJECT_SOURCE_DIR}/tests/netns/smoke.py 180 ${root}/tsan
    event_loop=${loop})
endforeach()

execute_process(COMMAND ninja -C ${root}/fuzz -t targets all OUTPUT_VARIABLE targets
  COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n ]*fuzz_[a-z0-9_]+: CXX_EXECUTABLE_LINKER" programs "${targets}")
foreach(program IN LISTS programs)
  string(REPLACE ": CXX_EXECUTABLE_LINKER" "" program ${program})
  get_filename_component(name ${program} NAME)
  add_test(NAME fuzz.${name}
    COMMAND ${PROJECT_SOURCE_DIR}/scripts/fuzz_one.sh ${root}/fuzz/${program} 30)
  set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 180)
endforeach()

add_test(NAME static.one_file
  COMMAND ${PROJECT_SOURCE_DIR}/tests/tidy/static_file.sh ${root}/static/mwtun)
netns_test(static.names ${PROJECT_SOURCE_DIR}/tests/netns/names.py 180 ${root}/static)
netns_test(static.demo ${PROJECT_SOURCE_DIR}/scripts/demo.py 300 --quick --build ${root}/static
  --linkem ${PROJECT_BINARY_DIR}/linkem)
