# Standard and library headers that most files include, parsed once a build instead of once a file: `precompile(TARGET)`
# for rooms and programs, `precompile_tests(TARGET)` for test programs, which also know googletest and are compiled for a
# short build rather than for speed. clang goes without: there, a file that forgets an include does not build.
set(_standard_headers
  <algorithm> <array> <atomic> <bit> <chrono> <coroutine> <cstdint> <cstring> <deque> <functional> <map> <memory>
  <mutex> <optional> <set> <span> <string> <string_view> <thread> <tuple> <unordered_map> <utility> <variant> <vector>
  <fmt/format.h>)
set(_test_headers ${_standard_headers} <random> <sstream> <gmock/gmock.h> <gtest/gtest.h>)
set(_test_options $<$<CONFIG:Release>:-O1> $<$<CONFIG:RelWithDebInfo>:-Og>)

function(_precompiled target libraries)
  file(CONFIGURE OUTPUT ${target}.cpp CONTENT "")
  add_library(${target} OBJECT ${CMAKE_CURRENT_BINARY_DIR}/${target}.cpp)
  target_link_libraries(${target} PRIVATE ${libraries} Threads::Threads)
  target_precompile_headers(${target} PRIVATE ${ARGN})
endfunction()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  _precompiled(precompiled_standard fmt::fmt ${_standard_headers})
  _precompiled(precompiled_tests "fmt::fmt;GTest::gmock" ${_test_headers})
  target_compile_options(precompiled_tests PRIVATE ${_test_options})
endif()

function(precompile target)
  if(TARGET precompiled_standard)
    target_link_libraries(${target} PRIVATE fmt::fmt)
    target_precompile_headers(${target} REUSE_FROM precompiled_standard)
  endif()
endfunction()

# For a program of many files that all parse command lines.
function(precompile_program target)
  if(TARGET precompiled_standard)
    target_link_libraries(${target} PRIVATE fmt::fmt)
    target_precompile_headers(${target} PRIVATE ${_standard_headers} <CLI/CLI.hpp>)
  endif()
endfunction()

function(precompile_tests target)
  target_compile_options(${target} PRIVATE ${_test_options})
  if(TARGET precompiled_tests)
    target_link_libraries(${target} PRIVATE fmt::fmt)
    target_precompile_headers(${target} REUSE_FROM precompiled_tests)
  endif()
endfunction()
