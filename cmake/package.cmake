# The service and the Debian package; tools/package builds it. With AUTONOMY_SERVICE, an installation also brings the systemd
# unit and /etc/autonomy/autonomyd.yaml, at the places that belong to the prefix (/usr: /etc).
option(AUTONOMY_SERVICE "Install the systemd unit and the configuration" OFF)
set(AUTONOMY_MAINTAINER "autonomy maintainers <maintainers@autonomy.invalid>" CACHE STRING "of the package")
set(debian ${CMAKE_CURRENT_LIST_DIR}/debian)

set(autonomyd_path ${CMAKE_INSTALL_FULL_SBINDIR}/autonomyd)
set(autonomyd_config ${CMAKE_INSTALL_FULL_SYSCONFDIR}/autonomy/autonomyd.yaml)
configure_file(${debian}/autonomyd.service.in ${CMAKE_BINARY_DIR}/autonomyd.service @ONLY)
if(NOT AUTONOMY_SERVICE)
  return()
endif()
install(FILES ${CMAKE_BINARY_DIR}/autonomyd.service DESTINATION lib/systemd/system)
install(FILES ${debian}/autonomyd.yaml DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/autonomy)
install(FILES ${debian}/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME autonomy)
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_SET_DESTDIR ON) # the configuration lies outside of the prefix
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${debian}/finish.cmake)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${AUTONOMY_MAINTAINER})
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, init-system-helpers (>= 1.54)")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "bash-completion, man-db")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "control plane for rollouts, kill switches and flags
A cluster of autonomyd nodes replicates rollout plans, kill switches, flags
and a hash-chained audit trail through Raft, and acts on them: failover and
rollback are commands of the log, so that they happen once and leave a record.

This package has the node, autonomyd, as a systemd service, and the operator's
command line, autonomy.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${debian}/conffiles ${debian}/postinst ${debian}/prerm ${debian}/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
