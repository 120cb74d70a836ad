# Hardening for what users run; sanitizers, in the presets that ask for them, for every target.
add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
if(MWTUN_SANITIZE)
  add_compile_options(-fsanitize=${MWTUN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${MWTUN_SANITIZE})
  if(MWTUN_SANITIZE MATCHES thread AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)  # Asio's fences, which the sanitizer does not know.
  endif()
else()
  add_compile_options(-fstack-protector-strong -fstack-clash-protection
    $<$<CXX_COMPILER_ID:GNU>:-fcf-protection>
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
  add_link_options(-Wl,-z,relro,-z,now)
endif()
