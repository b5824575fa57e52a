# SPDX-License-Identifier: GPL-3.0-or-later
# Where things go when installed, and a Debian package of them (cpack -G DEB in the build folder).
include(GNUInstallDirs)
install(TARGETS eigenscope-cli RUNTIME)
if(TARGET eigenscope)
    install(TARGETS eigenscope RUNTIME)
    install(FILES ${CMAKE_SOURCE_DIR}/packaging/eigenscope.desktop DESTINATION ${CMAKE_INSTALL_DATADIR}/applications)
    install(FILES ${CMAKE_SOURCE_DIR}/packaging/io.github.eigenscope.metainfo.xml
            DESTINATION ${CMAKE_INSTALL_DATADIR}/metainfo)
    # Its name in mime/packages says whose it is, as the metainfo's does.
    install(FILES ${CMAKE_SOURCE_DIR}/packaging/io.github.eigenscope.mime.xml
            DESTINATION ${CMAKE_INSTALL_DATADIR}/mime/packages RENAME io.github.eigenscope.xml)
    install(FILES ${CMAKE_SOURCE_DIR}/packaging/eigenscope.svg
            DESTINATION ${CMAKE_INSTALL_DATADIR}/icons/hicolor/scalable/apps)
endif()
if(TARGET eigenscope_cuda)
    # Not the library folder of the architecture: programs look beside themselves, in ../lib/eigenscope.
    install(TARGETS eigenscope_cuda LIBRARY DESTINATION lib/eigenscope)
endif()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/resources/demo/ DESTINATION ${CMAKE_INSTALL_DATADIR}/eigenscope/demo
        PATTERN training EXCLUDE)
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/LICENSES DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME eigenscope)
set(CPACK_PACKAGE_CONTACT "The Eigenscope developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Look at, compress and compare the KV caches of language models")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
include(CPack)
