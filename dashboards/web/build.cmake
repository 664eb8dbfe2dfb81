# Installs the locked packages if they are not there yet, checks types, bundles:
#   cmake -D NODE=... -D NPM=... -D OUTPUT=report_bundle.cpp -P build.cmake
# The packages lie beside package.json, shared by all build folders; the lock keeps two builds from installing at once.
set(web ${CMAKE_CURRENT_LIST_DIR})
set(installed ${web}/node_modules/installed-package-lock.json)

file(LOCK ${web}/.install-lock GUARD PROCESS TIMEOUT 600)
set(same 1)
if(EXISTS ${installed})
  execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files ${web}/package-lock.json ${installed} RESULT_VARIABLE same
                  OUTPUT_QUIET ERROR_QUIET)
endif()
if(NOT same EQUAL 0)
  execute_process(COMMAND ${NPM} ci --ignore-scripts --no-audit --no-fund --loglevel=error WORKING_DIRECTORY ${web}
                  RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "npm ci failed in dashboards/web: the report page needs its packages")
  endif()
  file(COPY_FILE ${web}/package-lock.json ${installed})
endif()

foreach(step "node_modules/typescript/bin/tsc;--noEmit" "build.mjs;${OUTPUT}")
  execute_process(COMMAND ${NODE} ${step} WORKING_DIRECTORY ${web} RESULT_VARIABLE failed)
  if(failed)
    list(GET step 0 tool)
    message(FATAL_ERROR "${tool} failed in dashboards/web")
  endif()
endforeach()
