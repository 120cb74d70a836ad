"""Rules of this house that the compiler cannot hold: run by ctest, names file, line and the way to mend it.

tidy.py ROOT            looks at the tree
tidy.py ROOT --selftest shows that each rule finds what it forbids
"""

import pathlib
import re
import sys

COLUMNS_MAX = 100
LINES_MAX = 500

# Which folder may include which: the arrows. A folder may always include itself.
ARROWS = {
    "base": (),
    "crypto": ("base",),
    "sched": ("base",),
    "dataplane": ("base", "crypto", "sched"),
    "dataplane/io": ("base", "crypto", "sched", "dataplane"),
    "cli": ("base", "crypto", "sched", "dataplane", "dataplane/io"),
}
PURE = ("base", "crypto", "sched", "dataplane")
CPP = (".cpp", ".hpp")
TEXT = CPP + (".py", ".sh", ".md", ".txt", ".cmake", ".json", ".toml", ".service", ".yml", ".1", "")

# What makes a result depend on more than its arguments.
IMPURE = [
    (r"::now\(", "take the time as an argument (Instant, base/time.hpp)"),
    (r"\b(clock_gettime|gettimeofday|std::time\(|time\(nullptr\)|clock\(\))",
     "take the time as an argument (Instant, base/time.hpp)"),
    (r"#include <(sys/socket|netinet/\w+|sys/epoll|linux/\w+|net/if|sys/ioctl|fcntl|unistd)\.h>",
     "system calls belong in src/dataplane/io"),
    (r"#include <(thread|mutex|condition_variable|atomic|future|pthread\.h|shared_mutex)>",
     "threads belong in src/cli and src/dataplane/io"),
    (r"#include <(iostream|fstream|cstdio|filesystem)>", "files and streams belong in src/cli"),
    (r"\b(random_device|std::rand|srand|getrandom|randombytes_\w+|getenv)\b",
     "take randomness as an argument (Entropy, base/entropy.hpp)"),
]
# Where a rule of those does not hold: inet_pton is arithmetic, and who fails an assertion must say so.
EXCEPTIONS = [("src/base/address.cpp", r"netinet|arpa"), ("src/base/assert.cpp", r"cstdio")]
# What costs an allocation, a lock or a lookup a packet.
SLOW = [(r"\bstd::(function|shared_ptr|any|regex)\b",
         "no std::function, shared_ptr, any or regex in the core; use a template, a value or an enum")]

_marks = ("TO" "DO", "FIX" "ME", "X" "XX", "HA" "CK")
LEFTOVERS = [
    (r"(?<!\")\b(" + "|".join(_marks) + r")\b(?!\")", "finish it, or say what is missing in docs/"),
    (r"^(<{7}|>{7}|={7})( |$)", "a merge was left unfinished"),
    (r"(^|[\s\"'(`=])/(work|ho" r"me/[a-z]|ro" r"ot/|Us" r"ers/)", "a path of one machine; make it relative"),
    (r"[ \t]+$", "blanks at the end of the line"),
]


def strip_comment(line):
    """Enough for these rules: a // outside a string ends the code."""
    return re.sub(r"//.*", "", re.sub(r'"(\\.|[^"\\])*"', '""', line))


def folder_of(path):
    """src/dataplane/io/tap.cpp -> dataplane/io."""
    parent = "/".join(pathlib.PurePosixPath(path).parent.parts[1:])
    while parent and parent not in ARROWS:
        parent = parent.rpartition("/")[0]
    return parent


def source_faults(path, lines):
    """Rules for src/: (line number, what is wrong, how to mend it)."""
    folder = folder_of(path)
    pure = folder in PURE
    for number, line in enumerate(lines, 1):
        code = strip_comment(line)
        include = re.match(r'\s*#include "([^"]+)"', line)
        if include and folder in ARROWS:
            target = folder_of("src/" + include[1])
            if "/" not in include[1] or not target:
                yield number, f'"{include[1]}" is not named from src/', 'write the path from src/ on'
            elif target != folder and target not in ARROWS[folder]:
                yield (number, f"{folder} includes {target}",
                       f"{folder} may use only: {', '.join(ARROWS[folder]) or 'itself'}")
        if pure:
            for pattern, mend in IMPURE:
                allowed = any(path == where and re.search(what, code) for where, what in EXCEPTIONS)
                if re.search(pattern, code) and not allowed:
                    yield number, f"`{line.strip()}` in pure code", mend
            for pattern, mend in SLOW:
                if re.search(pattern, code):
                    yield number, f"`{line.strip()}` in the core", mend
        if folder != "crypto" and re.search(r"\b(sodium_|crypto_(aead|sign|box|scalarmult|generichash)|EVP_|OSSL_)",
                                            code) or (folder != "crypto" and "#include <sodium" in line):
            yield number, "a cipher library outside src/crypto", "use what src/crypto offers"
    yield from unordered_faults(lines)


def unordered_faults(lines):
    """Walking an unordered container: its order differs from run to run."""
    text = "\n".join(strip_comment(line) for line in lines)
    names = set(re.findall(r"unordered_(?:map|set)<[^;{}]*>&?\s+(\w+)\s*[;{=,)]", text))
    for number, line in enumerate(lines, 1):
        walked = re.search(r"for \(.*:\s*(?:\w+(?:\.|->))*(\w+)\)", strip_comment(line))
        if walked and walked[1] in names:
            yield (number, f"walks the unordered container `{walked[1]}`",
                   "use std::map or a sorted vector: a run must repeat from its seed")


def faults_of(path, text):
    """All rules, for one file of the tree."""
    lines = text.split("\n")
    suffix = pathlib.PurePosixPath(path).suffix
    if suffix in CPP:
        raw = False  # Inside R"(…)", where a line is what it must be.
        for number, line in enumerate(lines, 1):
            started = raw or 'R"' in line
            if started:
                raw = re.search(r'\)\w*"', line[line.find('R"') + 2:] if not raw else line) is None
            if len(line) > COLUMNS_MAX and not started:
                yield number, f"{len(line)} columns", f"at most {COLUMNS_MAX}; run ./dev fmt"
    if path.startswith("src/") and suffix in CPP:
        yield from source_faults(path, lines)
        if len(lines) > LINES_MAX:
            yield LINES_MAX + 1, f"{len(lines)} lines", f"at most {LINES_MAX}; give a part of it a file"
    if suffix == ".hpp" and "#pragma once" not in text:
        yield 1, "no include guard", "begin with #pragma once"
    for number, line in enumerate(lines, 1):
        for pattern, mend in LEFTOVERS:
            if re.search(pattern, line):
                yield number, f"`{line.strip()[:60]}`", mend
    if text and not text.endswith("\n"):
        yield len(lines), "no newline at the end of the file", "add one"


def tree(root):
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        skipped = name.startswith(("build", ".git/", "tests/vectors/", "tests/fuzz/corpus/", "bench/traces/"))
        if skipped or "__pycache__" in name or not path.is_file() or path.suffix not in TEXT:
            continue
        try:
            yield name, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


# Each rule with a file that breaks it, and one beside it that does not.
SELFTEST = [
    ("src/sched/a.cpp", "auto t = Clock::now();\n", "auto t = now;\n"),
    ("src/base/a.cpp", "#include <thread>\n", "#include <vector>\n"),
    ("src/dataplane/a.cpp", "#include <sys/socket.h>\n", "// like <sys/socket.h>\n"),
    ("src/crypto/a.cpp", "std::random_device device;\n", "Prng prng(seed);\n"),
    ("src/crypto/a.cpp", '#include "sched/kinds.hpp"\n', '#include "base/bytes.hpp"\n'),
    ("src/dataplane/a.cpp", '#include "dataplane/io/tap.hpp"\n', '#include "dataplane/wire.hpp"\n'),
    ("src/base/a.cpp", '#include "bytes.hpp"\n', '#include "base/bytes.hpp"\n'),
    ("src/dataplane/a.cpp", "std::function<void()> f;\n", "int f;\n"),
    ("src/cli/a.cpp", "#include <sodium.h>\n", '#include "crypto/keys.hpp"\n'),
    ("src/cli/a.cpp", "sodium_memzero(a, 1);\n", "wipe(a);\n"),
    ("src/dataplane/a.cpp", "std::unordered_map<int, int> all_;\nfor (auto& one : all_) {\n",
     "std::map<int, int> all_;\nfor (auto& one : all_) {\n"),
    ("src/base/a.cpp", "x" * 101 + "\n", "x" * 100 + "\n"),
    ("src/base/a.cpp", "f(R\"(a)\");\n" + "x" * 101 + "\n", "f(R\"(\n" + "x" * 101 + "\n)\");\n"),
    ("src/base/a.cpp", "\n" * 501, "\n" * 400),
    ("src/base/a.hpp", "int a;\n", "#pragma once\n"),
    ("docs/a.md", _marks[0] + ": this\n", "to do: this\n"),
    ("docs/a.md", "see /wo" + "rk/main\n", "see docs/work/\n"),
    ("docs/a.md", "blank \n", "blank\n"),
    ("docs/a.md", "end", "end\n"),
]


def selftest():
    failed = 0
    for path, wrong, right in SELFTEST:
        if not list(faults_of(path, wrong)):
            print(f"FAIL nothing was found in {path}: {wrong[:60]!r}")
            failed += 1
        found = list(faults_of(path, right))
        if found:
            print(f"FAIL {path}: {right[:60]!r} is fine, but: {found}")
            failed += 1
    print(f"{len(SELFTEST)} rules tried, {failed} failed")
    return failed


def main():
    if "--selftest" in sys.argv:
        return 1 if selftest() else 0
    root = pathlib.Path(sys.argv[1])
    count = files = 0
    for path, text in tree(root):
        files += 1
        for number, what, mend in faults_of(path, text):
            print(f"{path}:{number}: {what}; {mend}")
            count += 1
    print(f"{files} files, {count} faults")
    return 1 if count or not files else 0


if __name__ == "__main__":
    sys.exit(main())
