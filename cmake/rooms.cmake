# A room is a folder, a namespace and a target. It may use only the rooms it names, and they stand above it in the
# list of docs/architecture.md; scripts/check_rooms holds the includes to that.
#
#   engine_room(journal DEPENDS base codec LIBRARIES PkgConfig::liburing)
#
# Sources: every *.cpp of the folder. foo_test.cpp goes to journal_test, foo_bench.cpp to journal_bench, foo_main.cpp to
# nothing by itself, foo_fuzz.cpp to a program of its own where COWBENCH_FUZZ is on; the rest is the room. Every test has
# the room's name as its label. The target `tests` builds all test programs; `all_verify_interface_header_sets` compiles
# alone each header that no source of its name includes first (scripts/check_rooms), and is itself a test.
add_custom_target(tests)

function(_room target name)
  cmake_parse_arguments(ROOM "" "" "DEPENDS;LIBRARIES;TEST_DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  set(tests ${sources})
  set(benches ${sources})
  set(fuzzers ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cpp$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$|_main\\.cpp$")

  if(sources)
    add_library(${target} STATIC ${sources})
    precompile(${target})
    use_profile(${target} ${name})
    set(scope PUBLIC)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${target} ${scope} ${CMAKE_SOURCE_DIR})
  target_link_libraries(${target} ${scope} ${ROOM_DEPENDS} ${ROOM_LIBRARIES} Threads::Threads)

  file(GLOB headers CONFIGURE_DEPENDS *.h)
  list(FILTER headers EXCLUDE REGEX "_internal\\.h$")
  foreach(source ${sources})
    string(REGEX REPLACE "\\.cpp$" ".h" header ${source})
    list(REMOVE_ITEM headers ${header})
  endforeach()
  if(headers)
    target_sources(${target} ${scope} FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES ${headers})
    set_target_properties(${target} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  endif()

  if(tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${target} ${ROOM_TEST_DEPENDS} GTest::gmock GTest::gtest_main)
    precompile_tests(${name}_test)
    gtest_discover_tests(${name}_test TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
                         PROPERTIES TIMEOUT 600 LABELS ${name})
    add_dependencies(tests ${name}_test)
  endif()
  if(COWBENCH_FUZZ)
    foreach(source ${fuzzers})
      cmake_path(GET source STEM fuzzer)
      add_executable(${fuzzer} ${source} ${CMAKE_SOURCE_DIR}/engine/base/fuzz_main.cpp)
      target_link_libraries(${fuzzer} PRIVATE ${target})
      target_link_options(${fuzzer} PRIVATE -fsanitize=fuzzer)
    endforeach()
  endif()
  if(benches)
    add_executable(${name}_bench ${benches})
    target_link_libraries(${name}_bench PRIVATE ${target} ${ROOM_TEST_DEPENDS} benchmark::benchmark_main)
    # A bench that nobody runs rots: each runs once, tiny, with the tests.
    add_test(NAME ${name}_bench.smoke COMMAND ${name}_bench --benchmark_min_time=0.001)
    set_tests_properties(${name}_bench.smoke PROPERTIES ENVIRONMENT COWBENCH_TINY=1 TIMEOUT 300
                         LABELS ${name})
  endif()
endfunction()

function(engine_room name)
  cmake_parse_arguments(ROOM "" "" "DEPENDS;LIBRARIES;TEST_DEPENDS" ${ARGN})
  list(TRANSFORM ROOM_DEPENDS PREPEND cowfs_)
  list(TRANSFORM ROOM_TEST_DEPENDS PREPEND cowfs_)
  _room(cowfs_${name} ${name} DEPENDS ${ROOM_DEPENDS} LIBRARIES ${ROOM_LIBRARIES} TEST_DEPENDS ${ROOM_TEST_DEPENDS})
endfunction()

function(bench_room name)
  cmake_parse_arguments(ROOM "" "" "DEPENDS;LIBRARIES;TEST_DEPENDS" ${ARGN})
  _room(cowbench_${name} ${name} DEPENDS ${ROOM_DEPENDS} LIBRARIES ${ROOM_LIBRARIES} TEST_DEPENDS ${ROOM_TEST_DEPENDS})
endfunction()

# The rules of the tree, as part of every build and as tests.
function(check_rooms)
  add_custom_target(check_rooms ALL COMMAND ${CMAKE_SOURCE_DIR}/scripts/check_rooms
                    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} COMMENT "Checking that rooms include only rooms above them")
  add_test(NAME house.check_rooms COMMAND ${CMAKE_SOURCE_DIR}/scripts/check_rooms_test)
  add_test(NAME house.headers
           COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target all_verify_interface_header_sets)
  set_tests_properties(house.headers PROPERTIES TIMEOUT 900 RUN_SERIAL ON)
  add_test(NAME house.models COMMAND ${CMAKE_SOURCE_DIR}/scripts/check_models)
  set_tests_properties(house.models PROPERTIES TIMEOUT 600 PROCESSORS 2)
  add_test(NAME house.planted_bugs COMMAND ${CMAKE_SOURCE_DIR}/scripts/planted-bugs --check)
  set_tests_properties(house.check_rooms house.headers house.models house.planted_bugs PROPERTIES LABELS house)
endfunction()
