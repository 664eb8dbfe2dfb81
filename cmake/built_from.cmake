# Run in each build: notes beside the programs which commit they were built from, as "SHA" or "SHA changed". Not inside of
# them, so that commits that do not change a program give the same program.
#
#   cmake -DSOURCE=FOLDER -DFILE=PATH -P built_from.cmake
execute_process(COMMAND git -C ${SOURCE} rev-parse HEAD
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  file(REMOVE ${FILE})
  return()
endif()
execute_process(COMMAND git -C ${SOURCE} status --porcelain OUTPUT_VARIABLE changes ERROR_QUIET)
if(changes)
  string(APPEND commit " changed")
endif()
file(WRITE ${FILE} "${commit}\n")
