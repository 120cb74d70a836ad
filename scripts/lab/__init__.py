"""Networks of namespaces and emulated lines with the real program on them, for the demo, the tests in
tests/netns and the benchmarks. Standard library only."""

import pathlib

dns_program = pathlib.Path(__file__).with_name("dns.py")
