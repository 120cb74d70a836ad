# Sourced by ./dev: what the machine must have, and how it gets it.
# shellcheck shell=bash disable=SC2034

# wireguard-go's recommended packages would pull in a kernel, so nothing recommended is installed.
packages_build=(
  cmake ninja-build g++ pkg-config libsodium-dev libssl-dev libboost1.81-dev libcli11-dev
  libfmt-dev libtomlplusplus-dev nlohmann-json3-dev libc-ares-dev libnl-3-dev libnl-route-3-dev
  liburing-dev catch2 python3
)
# Intel's library for its own processors' AES is packaged for them alone.
[[ $(uname -m) != x86_64 ]] || packages_build+=(libipsec-mb-dev)
packages_run=(iperf3 iproute2 iputils-ping ethtool python3)
packages_test=(python3-cryptography python3-nacl nftables binutils)
packages_fuzz=(clang-14 libclang-rt-14-dev)
packages_bench=(wireguard-go wireguard-tools fastd openvpn tinc openssl)

say() { printf '== %s\n' "$*" >&2; }

# need_packages NAME...: installs what is missing; silent and fast when nothing is.
need_packages() {
  local missing
  if ! command -v dpkg-query >/dev/null; then
    say "no dpkg here: taking it on trust that these are installed: $*"
    return
  fi
  missing=$(
    { dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } |
      awk '$1 == "installed" { print $2 }' | sort -u |
      comm -13 - <(printf '%s\n' "$@" | sort -u)
  )
  [[ -n $missing ]] || return 0
  # shellcheck disable=SC2086  # One word a package.
  set -- $missing
  if [[ $(id -u) -ne 0 ]]; then
    echo "./dev: packages are missing; install them with" >&2
    echo "  sudo apt-get install --no-install-recommends $*" >&2
    exit 77
  fi
  say "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  if ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; then
    apt_get update
  fi
  # Lists that are too old name files that are gone: then they are fetched once more.
  apt_get install -y --no-install-recommends "$@" ||
    { apt_get update && apt_get install -y --no-install-recommends "$@"; }
}

apt_get() { apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2; }

need_root() {
  if [[ $(id -u) -ne 0 ]]; then
    echo "./dev: this needs root, since $2; run: sudo $1" >&2
    exit 77
  fi
  if [[ ! -e /dev/net/tun ]]; then
    mkdir -p /dev/net
    mknod /dev/net/tun c 10 200
  fi
}
