# llama.cpp's server alone: from the sources that node-llama-cpp carries, against the libraries that it ships built from
# the same sources. It takes the place of the sources' own list file, so that only what is missing is compiled.
cmake_minimum_required(VERSION 3.18)
project(llama-server C CXX)

set(LLAMA_LIBRARIES "" CACHE PATH "The folder of the libraries")
set(LLAMA_VERSION_BASE "" CACHE STRING "Of the sources: MAJOR.MINOR.PATCH")
string(REGEX MATCH "^[0-9]+" LLAMA_VERSION_MAJOR "${LLAMA_VERSION_BASE}")

set(CMAKE_BUILD_RPATH "${LLAMA_LIBRARIES}")
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(BUILD_SHARED_LIBS OFF)
set(LLAMA_BUILD_COMMON ON)
set(LLAMA_SUBPROCESS ON)
set(LLAMA_OPENSSL OFF)
set(LLAMA_TOOLS_INSTALL OFF)
# Its page for browsers would be downloaded.
set(LLAMA_BUILD_UI OFF)
set(LLAMA_USE_PREBUILT_UI OFF)
set(MTMD_VIDEO OFF)
add_compile_options(-w)
find_package(Threads REQUIRED)

include(cmake/license.cmake)
function(llama_add_compile_flags)
endfunction()

function(shipped name file headers)
    file(GLOB found "${LLAMA_LIBRARIES}/${file}")
    if(NOT found)
        message(FATAL_ERROR "There is no ${file} in ${LLAMA_LIBRARIES}")
    endif()
    add_library(${name} SHARED IMPORTED GLOBAL)
    set_target_properties(${name} PROPERTIES IMPORTED_LOCATION "${found}")
    target_include_directories(${name} INTERFACE "${CMAKE_SOURCE_DIR}/${headers}")
endfunction()

shipped(ggml-base "libggml-base.so" ggml/include)
shipped(ggml "libggml.v*.so" ggml/include)
shipped(llama "libllama.v*.so" include)
shipped(llama-common "libllama-common.so" common)
target_link_libraries(llama INTERFACE ggml ggml-base)
target_compile_definitions(llama INTERFACE LLAMA_SHARED)
target_compile_definitions(ggml INTERFACE GGML_SHARED GGML_BACKEND_SHARED)

add_subdirectory(vendor)
target_link_libraries(llama-common INTERFACE llama vendor::nlohmann vendor::sheredom)
target_compile_definitions(llama-common INTERFACE LLAMA_SUBPROCESS)
target_compile_features(llama-common INTERFACE cxx_std_17)

add_subdirectory(tools/mtmd)
add_subdirectory(tools/ui)
add_subdirectory(tools/server)

# One for each kind of processor: the server looks for them beside itself, and takes the best that runs.
file(GLOB processors "${LLAMA_LIBRARIES}/libggml-cpu-*.so")
file(MAKE_DIRECTORY "${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
foreach(library ${processors})
    get_filename_component(name "${library}" NAME)
    file(CREATE_LINK "${library}" "${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/${name}" SYMBOLIC)
endforeach()
