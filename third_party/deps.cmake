# Where each third-party library comes from and how it is compiled. Gives the targets
#   dep_uv dep_mbedtls dep_llhttp dep_yyjson dep_sqlite dep_yaml dep_cmocka
# and `deps`, which builds them all.
#
#   SLUICE_DEPS=auto     the sources scripts/bootstrap unpacked, else a good enough system library,
#                        else the upstream release (a download checked by hash)
#   SLUICE_DEPS=bundled  never a system library
#   SLUICE_DEPS=system   only system libraries
#   SLUICE_GCM=OFF       mbedTLS's own AES-GCM only, not ipsec-mb's (which needs nasm and x86-64)
#   SLUICE_DEPS_BUILT    a sibling build folder (build/<this>) whose compiled libraries are linked
#                        instead of compiling them once more, but for those in SLUICE_DEPS_OWN
set(SLUICE_DEPS auto CACHE STRING "auto, bundled or system")
option(SLUICE_GCM "AES-GCM of ipsec-mb where it can be built" ON)
set(SLUICE_DEPS_DIR ${CMAKE_SOURCE_DIR}/.deps CACHE PATH "what scripts/bootstrap filled")
set(SLUICE_DEPS_BUILT "" CACHE STRING "take compiled libraries from this sibling build")
set(SLUICE_DEPS_OWN "" CACHE STRING "libraries to compile here all the same, by comma")
string(REPLACE "," ";" _own_deps "${SLUICE_DEPS_OWN}")
set(_here ${CMAKE_CURRENT_LIST_DIR})
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${_here}/deps.lock)
file(STRINGS ${_here}/deps.lock _lock REGEX "^[a-z]")
include(FetchContent)
set(CMAKE_POLICY_DEFAULT_CMP0077 NEW) # set(BUILD_TESTING OFF) must win over libuv's option()
set(CMAKE_POLICY_DEFAULT_CMP0135 NEW)
set(CMAKE_C_EXTENSIONS ON) # their code, their dialect; set back at the end
add_custom_target(deps)

# Their warnings are theirs. Asserts of theirs stay only in sanitizer builds.
set(_flags -w $<$<CONFIG:Release>:-DNDEBUG>)

# dep_folder(name out): the folder with the sources of a row of deps.lock
function(dep_folder name out)
  set(ptr ${SLUICE_DEPS_DIR}/src/${name}.dir)
  if(NOT SLUICE_DEPS STREQUAL system AND EXISTS ${ptr})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ptr})
    file(STRINGS ${ptr} d LIMIT_COUNT 1)
    message(STATUS "${name}: ${d}")
    set(${out} ${SLUICE_DEPS_DIR}/src/${d} PARENT_SCOPE)
  else()
    set(${out} "" PARENT_SCOPE)
  endif()
endfunction()

# dep_download(name out): the same from upstream, when bootstrap was not run
function(dep_download name out)
  if(SLUICE_DEPS STREQUAL system)
    message(FATAL_ERROR "${name}: no system library of a sufficient version (SLUICE_DEPS=system)")
  endif()
  foreach(row ${_lock})
    if(row MATCHES "^${name} +([^ ]+) +url +([^ ]+) +([0-9a-f]+)")
      message(STATUS "${name} ${CMAKE_MATCH_1}: downloading (scripts/bootstrap was not run)")
      FetchContent_Declare(${name}_src URL ${CMAKE_MATCH_2} URL_HASH SHA256=${CMAKE_MATCH_3}
        SOURCE_SUBDIR no-cmake-of-theirs)
      FetchContent_MakeAvailable(${name}_src)
      set(${out} ${${name}_src_SOURCE_DIR} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "${name}: run scripts/bootstrap first")
endfunction()

# dep_system(target pkg-config-spec...): an interface over a system library, if it is good enough
function(dep_system target)
  if(SLUICE_DEPS STREQUAL bundled)
    return()
  endif()
  find_package(PkgConfig QUIET)
  if(PKG_CONFIG_FOUND)
    pkg_check_modules(SYS_${target} QUIET IMPORTED_TARGET ${ARGN})
    if(SYS_${target}_FOUND)
      add_library(${target} INTERFACE)
      target_link_libraries(${target} INTERFACE PkgConfig::SYS_${target})
      message(STATUS "${target}: the system's ${ARGN} (${SYS_${target}_VERSION})")
    endif()
  endif()
endfunction()

# dep_find(name target pkg-config-spec...): sets DIR, or makes the target from a system library
macro(dep_find name target)
  dep_folder(${name} DIR)
  if(NOT DIR)
    dep_system(${target} ${ARGN})
    if(NOT TARGET ${target})
      dep_download(${name} DIR)
    endif()
  endif()
endmacro()

# dep_library(name INCLUDE dir... PUBLIC_DEFS ... LINK ... SOURCES ... PRIVATE_DEFS ...
#             PRIVATE_INCLUDE ...): dep_<name>, compiled here or in the sibling build
function(dep_library name)
  cmake_parse_arguments(A "" "" "INCLUDE;PUBLIC_DEFS;LINK;SOURCES;PRIVATE_DEFS;PRIVATE_INCLUDE"
    ${ARGN})
  set(t dep_${name})
  if(SLUICE_DEPS_BUILT AND NOT name IN_LIST _own_deps)
    get_filename_component(b ${CMAKE_BINARY_DIR}/../${SLUICE_DEPS_BUILT} ABSOLUTE)
    add_library(${t} STATIC IMPORTED GLOBAL)
    set_target_properties(${t} PROPERTIES IMPORTED_LOCATION ${b}/lib/libdep_${name}.a)
  else()
    add_library(${t} STATIC EXCLUDE_FROM_ALL ${A_SOURCES})
    target_include_directories(${t} PRIVATE ${A_INCLUDE} ${A_PRIVATE_INCLUDE})
    target_compile_definitions(${t} PRIVATE ${A_PUBLIC_DEFS} ${A_PRIVATE_DEFS})
    target_compile_options(${t} PRIVATE ${_flags} ${SLUICE_DEPS_FLAGS})
    set_target_properties(${t} PROPERTIES ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
    add_dependencies(deps ${t})
  endif()
  target_include_directories(${t} SYSTEM INTERFACE ${A_INCLUDE})
  target_compile_definitions(${t} INTERFACE ${A_PUBLIC_DEFS})
  target_link_libraries(${t} INTERFACE ${A_LINK})
endfunction()

# ---- SQLite: first, because its compile is the longest ------------------------------------------

dep_find(sqlite dep_sqlite sqlite3>=3.40)
if(NOT TARGET dep_sqlite)
  if(EXISTS ${DIR}/deps/sqlite3/sqlite3.c) # the npm package's layout
    set(DIR ${DIR}/deps/sqlite3)
  elseif(EXISTS ${DIR}/made/sqlite3.c) # made by scripts/bootstrap from the whole source
    set(DIR ${DIR}/made)
  endif()
  # One connection per thread, one thread: no mutexes. No double-quoted strings, no extensions.
  dep_library(sqlite SOURCES ${DIR}/sqlite3.c INCLUDE ${DIR} LINK $<$<NOT:$<PLATFORM_ID:Darwin>>:m>
    PRIVATE_DEFS SQLITE_THREADSAFE=2 SQLITE_DQS=0 SQLITE_DEFAULT_MEMSTATUS=0
    SQLITE_DEFAULT_WAL_SYNCHRONOUS=1 SQLITE_LIKE_DOESNT_MATCH_BLOBS SQLITE_MAX_EXPR_DEPTH=0
    SQLITE_OMIT_DEPRECATED SQLITE_OMIT_SHARED_CACHE SQLITE_OMIT_LOAD_EXTENSION SQLITE_USE_ALLOCA
    SQLITE_ENABLE_STAT4 SQLITE_ENABLE_COLUMN_METADATA SQLITE_STRICT_SUBTYPE=1 HAVE_USLEEP=1)
endif()

# ---- libuv: its own CMake knows which files each system needs -----------------------------------

dep_find(libuv dep_uv libuv>=1.49)
if(NOT TARGET dep_uv)
  set(uv_link Threads::Threads ${CMAKE_DL_LIBS} $<$<PLATFORM_ID:Linux>:rt>)
  if(SLUICE_DEPS_BUILT AND NOT uv IN_LIST _own_deps)
    dep_library(uv INCLUDE ${DIR}/include LINK ${uv_link})
  else()
    set(LIBUV_BUILD_SHARED OFF CACHE BOOL "" FORCE)
    set(LIBUV_BUILD_TESTS OFF CACHE BOOL "" FORCE)
    set(LIBUV_BUILD_BENCH OFF CACHE BOOL "" FORCE)
    set(BUILD_TESTING OFF) # libuv includes CTest
    add_subdirectory(${DIR} ${CMAKE_BINARY_DIR}/libuv EXCLUDE_FROM_ALL)
    unset(BUILD_TESTING)
    target_compile_options(uv_a PRIVATE ${_flags} ${SLUICE_DEPS_FLAGS})
    set_target_properties(uv_a PROPERTIES OUTPUT_NAME dep_uv
      ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
    add_dependencies(deps uv_a)
    add_library(dep_uv INTERFACE)
    target_include_directories(dep_uv SYSTEM INTERFACE ${DIR}/include)
    target_link_libraries(dep_uv INTERFACE $<LINK_ONLY:uv_a> ${uv_link})
  endif()
endif()

# ---- ipsec-mb: only the assembly of its AES-GCM, which becomes a part of dep_mbedtls ------------

# gcm_assemble(objects): sets it to what nasm makes, or leaves it empty and says why
function(gcm_assemble objects)
  set(${objects} "" PARENT_SCOPE)
  set(own "mbedTLS's own AES-GCM is used (a tenth as fast)")
  if(NOT SLUICE_GCM OR SLUICE_DEPS STREQUAL system)
    return()
  endif()
  if(NOT CMAKE_SYSTEM_NAME MATCHES "Linux|FreeBSD" OR NOT CMAKE_SIZEOF_VOID_P EQUAL 8 OR
     NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
    message(STATUS "ipsecmb: for x86-64 only; ${own}")
    return()
  endif()
  find_program(NASM nasm)
  dep_folder(ipsecmb DIR)
  if(NOT NASM OR NOT DIR)
    message(STATUS "ipsecmb: scripts/bootstrap did not bring it, or nasm; ${own}")
    return()
  endif()
  set(made "")
  foreach(f sse_t1/gcm128_api_by8_sse sse_t1/gcm256_api_by8_sse avx2_t1/aes128_gcm_by8_avx2
      avx2_t1/aes256_gcm_by8_avx2 avx512_t2/aes128_gcm_by48_api_vaes_avx512
      avx512_t2/aes256_gcm_by48_api_vaes_avx512 x86_64/aes_keyexp_128 x86_64/aes_keyexp_256)
    get_filename_component(n ${f} NAME)
    set(out ${CMAKE_BINARY_DIR}/ipsecmb/${n}.o)
    # -O1: with the assembler's own -Ox the largest file takes half a minute in place of four
    # seconds, and becomes half a percent smaller
    add_custom_command(OUTPUT ${out} DEPENDS ${DIR}/lib/${f}.asm ${_here}/gcm/include/os.asm
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/ipsecmb
      COMMAND ${NASM} -O1 -felf64 -DLINUX -D__linux__ -DSAFE_DATA -I ${_here}/gcm/ -I ${DIR}/lib/
        -I ${DIR}/ -o ${out} ${DIR}/lib/${f}.asm
      COMMENT "Assembling ${n}" VERBATIM)
    list(APPEND made ${out})
  endforeach()
  set_source_files_properties(${made} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  set(${objects} ${made} PARENT_SCOPE)
endfunction()

# ---- mbedTLS: with our own configuration whenever it is built from source -----------------------

# 4.x removed the API used here; anything below 3.6 lacks a usable TLS 1.3
dep_find(mbedtls dep_mbedtls mbedtls>=3.6 mbedtls<4 mbedx509>=3.6 mbedcrypto>=3.6)
if(NOT TARGET dep_mbedtls)
  set(SLUICE_OWN_MBEDTLS ON)
  file(GLOB files ${DIR}/library/*.c)
  list(REMOVE_ITEM files ${DIR}/library/ecp.c) # a part of ecp/ecp_alt.c
  set(everest ${DIR}/3rdparty/everest)
  set(gcm_objects "")
  if(NOT SLUICE_DEPS_BUILT OR mbedtls IN_LIST _own_deps)
    gcm_assemble(gcm_objects)
  endif()
  dep_library(mbedtls SOURCES ${files} ${_here}/gcm/gcm_alt.c ${_here}/gcm/gcm_engine.c
      ${_here}/gcm/gcm_soft.c ${gcm_objects} ${_here}/ecp/ecp_alt.c
    INCLUDE ${DIR}/include ${_here}/gcm ${_here}/ecp
    PRIVATE_INCLUDE ${DIR}/library ${everest}/library ${everest}/include
      ${everest}/include/everest ${everest}/include/everest/kremlib
    PUBLIC_DEFS "MBEDTLS_USER_CONFIG_FILE=\"${_here}/mbedtls_user_config.h\""
    PRIVATE_DEFS $<$<BOOL:${gcm_objects}>:SLUICE_GCM_ENGINES>
    LINK Threads::Threads)
  # a handshake's arithmetic: X25519 takes half the time with -O3, P-256 a tenth less
  if(CMAKE_BUILD_TYPE STREQUAL Release)
    file(GLOB files ${DIR}/library/bignum*.c ${DIR}/library/ecp_curves.c ${_here}/ecp/ecp_alt.c)
    set_source_files_properties(${files} PROPERTIES COMPILE_OPTIONS -O3)
  endif()
endif()

# ---- llhttp: the generated C inside nghttp2's source --------------------------------------------

dep_find(nghttp2 dep_llhttp libllhttp>=9.2)
if(NOT TARGET dep_llhttp)
  set(DIR ${DIR}/third-party/llhttp)
  dep_library(llhttp SOURCES ${DIR}/src/api.c ${DIR}/src/http.c ${DIR}/src/llhttp.c
    INCLUDE ${DIR}/include)
  # It calls itself across its files four times a header: as one piece it takes a tenth less. With
  # ordinary code besides, for a linker that knows nothing of it.
  get_target_property(imported dep_llhttp IMPORTED)
  if(SLUICE_HAVE_LTO AND CMAKE_C_COMPILER_ID STREQUAL GNU AND NOT imported)
    target_compile_options(dep_llhttp PRIVATE -flto -ffat-lto-objects)
  endif()
endif()

# ---- yyjson -------------------------------------------------------------------------------------

dep_find(yyjson dep_yyjson yyjson>=0.8)
if(NOT TARGET dep_yyjson)
  dep_library(yyjson SOURCES ${DIR}/src/yyjson.c INCLUDE ${DIR}/src)
endif()

# ---- libyaml ------------------------------------------------------------------------------------

dep_find(libyaml dep_yaml yaml-0.1>=0.2.5)
if(NOT TARGET dep_yaml)
  file(GLOB files ${DIR}/src/*.c)
  dep_library(yaml SOURCES ${files} INCLUDE ${DIR}/include PRIVATE_INCLUDE ${DIR}/src
    PRIVATE_DEFS YAML_VERSION_MAJOR=0 YAML_VERSION_MINOR=2 YAML_VERSION_PATCH=5
    YAML_VERSION_STRING="0.2.5")
endif()

# ---- cmocka: one file; the tests' ASAN_OPTIONS keep its signal handlers from hiding a crash -----

if(SLUICE_TESTS)
  dep_find(cmocka dep_cmocka cmocka>=1.1.5)
  if(NOT TARGET dep_cmocka)
    dep_library(cmocka SOURCES ${DIR}/src/cmocka.c INCLUDE ${DIR}/include
      PRIVATE_DEFS HAVE_SIGNAL_H=1 HAVE_INTTYPES_H=1 HAVE_STRINGS_H=1 HAVE_SIGLONGJMP=1 HAVE_CLOCK_REALTIME=1
      HAVE_STRUCT_TIMESPEC=1 HAVE_STRSIGNAL=1 HAVE_GCC_THREAD_LOCAL_STORAGE=1)
  endif()
endif()

set(CMAKE_C_EXTENSIONS OFF)
