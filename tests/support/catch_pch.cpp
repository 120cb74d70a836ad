// Compiled so that the precompiled header exists; catch_main.cpp cannot use it, as it configures
// Catch2.
