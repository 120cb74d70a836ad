"""Medians, ratios, the table and the verdict on the promises."""

import statistics


def median(rounds, target, cell, field):
    values = [one[target][cell][field] for one in rounds
              if cell in one.get(target, {}) and one[target][cell].get(field) is not None]
    return statistics.median(values) if values else None


def _format(value, scale, digits):
    return "–" if value is None else f"{value / scale:.{digits}f}"


COLUMNS = (
    ("TCP 1", "tcp_1", "bps", 1e9, 2), ("TCP 4", "tcp_4", "bps", 1e9, 2),
    ("TCP 1 cut", "tcp_1_cut", "bps", 1e9, 2), ("UDP 1400 GSO", "udp_1400_gso", "bps", 1e9, 2),
    ("UDP 1400", "udp_1400", "bps", 1e9, 2), ("UDP 64, kpps", "udp_64", "pps", 1e3, 0),
    ("CPU s/GB", "tcp_1", "cpu_s_per_gb", 1, 2), ("RTT µs", "rtt", "p50_us", 1, 0),
    ("loaded p99 ms", "rtt_loaded", "p99_us", 1e3, 2),
)


def table(rounds, targets):
    lines = ["| | " + " | ".join(name for name, *_ in COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for target in targets:
        cells = [_format(median(rounds, target, cell, field), scale, digits)
                 for _, cell, field, scale, digits in COLUMNS]
        lines.append(f"| {target} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def promises(rounds):
    """(text, value, bound, met) of each that both sides were measured of."""
    def value(target, cell="tcp_1", field="bps"):
        return median(rounds, target, cell, field)

    found = []

    def at_least(text, number, reference, factor):
        if number is not None and reference:
            found.append((text, number / reference, f"≥ {factor}", number / reference >= factor))

    def at_most(text, number, reference, factor):
        if number is not None and reference:
            found.append((text, number / reference, f"≤ {factor}", number / reference <= factor))

    aes = value("mwtun aes-256-gcm")
    for rival, factor in (("wireguard-go", 10), ("fastd", 6), ("openvpn", 6), ("tinc", 6)):
        at_least(f"AES-256-GCM of {rival}", aes, value(rival), factor)
    at_least("ChaCha20 of wireguard-go", value("mwtun chacha20-poly1305"), value("wireguard-go"), 7)
    at_least("AES-256-GCM of the null cipher", aes, value("mwtun null"), 0.6)
    at_least("null cipher of veth, as the relay's 13.7 / 49", value("mwtun null"),
             (value("veth") or 0) * 13.7 / 49, 0.8)
    at_most("CPU s/GB of wireguard-go", value("mwtun aes-256-gcm", "tcp_1", "cpu_s_per_gb"),
            value("wireguard-go", "tcp_1", "cpu_s_per_gb"), 0.12)
    at_least("UDP 1400 with GSO of TCP", value("mwtun aes-256-gcm", "udp_1400_gso"), aes, 0.7)
    at_least("UDP 1400 of wireguard-go", value("mwtun aes-256-gcm", "udp_1400"),
             value("wireguard-go", "udp_1400"), 4)
    at_least("UDP 64 packets of wireguard-go", value("mwtun aes-256-gcm", "udp_64", "pps"),
             value("wireguard-go", "udp_64", "pps"), 3)
    idle, bare = value("mwtun aes-256-gcm", "rtt", "p50_us"), value("veth", "rtt", "p50_us")
    if idle is not None and bare is not None:
        found.append(("idle RTT added, µs one way", (idle - bare) / 2, "≤ 100", (idle - bare) / 2 <= 100))
    loaded = value("mwtun aes-256-gcm", "rtt_loaded", "p99_us")
    if loaded is not None:
        found.append(("loaded RTT p99, ms", loaded / 1e3, "≤ 5", loaded <= 5000))
    at_least("two lines of one", value("mwtun, 2 lines"), aes, 0.9)
    return found
