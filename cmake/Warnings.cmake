# Warnings for our own targets; libraries from the system are not ours to judge.
add_library(mwtun_warnings INTERFACE)
target_compile_options(mwtun_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Woverloaded-virtual -Wnull-dereference
  $<$<BOOL:${MWTUN_WERROR}>:-Werror>)
# GCC 12 reports false positives of these from inside the standard library at -O2.
target_compile_options(mwtun_warnings INTERFACE
  $<$<CXX_COMPILER_ID:GNU>:-Wno-null-dereference -Wno-error=maybe-uninitialized
    -Wno-error=stringop-overflow -Wno-error=array-bounds -Wno-error=restrict>)
