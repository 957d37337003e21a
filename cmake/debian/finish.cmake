# What Debian's policy asks of a package and `cmake --install` doesn't do: compressed manual pages and changelog, the licence
# by its copyright file alone.
set(root ${CPACK_TEMPORARY_INSTALL_DIRECTORY})
set(doc ${root}/usr/share/doc/autonomy)
string(TIMESTAMP today "%a, %d %b %Y %H:%M:%S +0000" UTC) # reproducible with SOURCE_DATE_EPOCH
file(WRITE ${doc}/changelog "autonomy (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium

  * The project's history is its changelog; this package was built from it.

 -- ${CPACK_DEBIAN_PACKAGE_MAINTAINER}  ${today}
")
file(REMOVE ${doc}/LICENSE)
file(GLOB_RECURSE pages ${root}/usr/share/man/*)
execute_process(COMMAND gzip -9nf ${pages} ${doc}/changelog COMMAND_ERROR_IS_FATAL ANY)
