# What `cmake --install` puts where: the programs, their manual pages, shell completion, documents.
include(GNUInstallDirs)
set(printed ${CMAKE_BINARY_DIR}/share) # by tools/CMakeLists.txt

install(TARGETS autonomy RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS autonomyd RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})

configure_file(${CMAKE_SOURCE_DIR}/node/autonomyd.8.in ${CMAKE_BINARY_DIR}/autonomyd.8 @ONLY)
install(DIRECTORY ${printed}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
install(FILES ${CMAKE_BINARY_DIR}/autonomyd.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)

# Debian's zsh and fish read vendor folders below /usr, and the shells' own ones below /usr/local; which prefix it is, only
# the installation knows (CPack chooses its own).
set(data ${CMAKE_INSTALL_DATADIR})
install(CODE "
  if(CMAKE_INSTALL_PREFIX STREQUAL \"/usr\")
    set(autonomy_zsh ${data}/zsh/vendor-completions)
  else()
    set(autonomy_zsh ${data}/zsh/site-functions)
  endif()")
install(FILES ${printed}/autonomy.bash DESTINATION ${data}/bash-completion/completions RENAME autonomy)
install(FILES ${printed}/autonomy.zsh DESTINATION "\${autonomy_zsh}" RENAME _autonomy)
install(FILES ${printed}/autonomy.fish DESTINATION ${data}/fish/vendor_completions.d)

install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs PATTERN examples EXCLUDE)
install(PROGRAMS docs/examples/client.sh docs/examples/client.py docs/examples/client.mjs DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs/examples)
