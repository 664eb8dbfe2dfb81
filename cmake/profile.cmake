# Profile-guided optimisation with g++. A build with COWBENCH_PROFILE=record has a program `training`, which puts a load
# on the engine and counts where its branches go; one with COWBENCH_PROFILE=use reads what was counted. A function that has changed
# since, or was not reached, is compiled as if there were no counts. scripts/train says where they are kept.
set(COWBENCH_PROFILE "" CACHE STRING "record: count; use: read what was counted; empty: neither")
set(COWBENCH_PROFILED OFF)
# What the load spends its time in.
set(_profiled_rooms base codec format runtime device space journal btree slice data fs)
# Counts are named after objects, relative to the build's folder, which differs.
set(_profile_names -fprofile-prefix-path=${CMAKE_BINARY_DIR})

if(COWBENCH_PROFILE STREQUAL "record")
  # Below GCOV_PREFIX, when it runs. Threads count without waiting for each other and lose some counts: -fprofile-correction.
  add_compile_options(${_profile_names} -fprofile-generate=/counts -fprofile-update=single)
  add_link_options(-fprofile-generate)
elseif(COWBENCH_PROFILE STREQUAL "use")
  set(_profiles ${CMAKE_SOURCE_DIR}/build/profile)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${_profiles}/current)
  if(EXISTS ${_profiles}/current)
    file(STRINGS ${_profiles}/current _profile LIMIT_COUNT 1)
    set(COWBENCH_PROFILED ON)
    set(_profile_options ${_profile_names} -fprofile-use=${_profiles}/${_profile} -fprofile-correction
        -fprofile-partial-training -Wno-missing-profile -Wno-coverage-mismatch)
  endif()
endif()

function(use_profile target room)
  if(COWBENCH_PROFILED AND room IN_LIST _profiled_rooms)
    target_compile_options(${target} PRIVATE ${_profile_options})
  endif()
endfunction()
