"""The programs that are measured: each a tunnel between the two namespaces over the same veth pair."""

import dataclasses
import os
import pathlib
import shutil
import time

from lab.stage import LabError, Unavailable, ip, run
from lab.traffic import wait_for_answer
from lab.tunnel import cpu_seconds


@dataclasses.dataclass
class Target:
    """Something to send through: `address` is the VPS's end, `processes` those of both ends."""
    name: str
    address: str
    processes: list = dataclasses.field(default_factory=list)

    def cpu_s(self):
        return sum(cpu_seconds(process.pid) for process in self.processes)


def missing(programs):
    """Those that are not installed."""
    return [name for name in programs if shutil.which(name) is None and not pathlib.Path(name).exists()]


def inner(number):
    """Addresses of the home's and the VPS's end of tunnel `number`."""
    return f"10.91.{number}.2", f"10.91.{number}.1"


class Rivals:
    """Starts them in a world with at least one line, each with addresses and a port of its own."""

    def __init__(self, stage, world):
        self.stage, self.world = stage, world
        self._sides = {"home": (world.home, world.near(1)), "vps": (world.vps, world.far(1))}

    def _ends(self, number):
        """(side, namespace, own outer, other's outer, own inner, other's inner) of both."""
        home_inner, vps_inner = inner(number)
        home, vps = self._sides["home"], self._sides["vps"]
        return (("home", *home, vps[1], home_inner, vps_inner), ("vps", *vps, home[1], vps_inner, home_inner))

    def _folder(self, name):
        folder = self.stage.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def _wait(self, name, number, processes):
        address = inner(number)[1]
        if wait_for_answer(self.stage, self.world.home, address, 15, processes[0]) is None:
            raise LabError(f"{name} does not answer\n" + "\n".join(one.tail() for one in processes))
        return Target(name, address, processes)

    def wireguard_go(self, number, program="wireguard-go"):
        keys, names, processes = {}, {}, []
        for side, netns, *_ in self._ends(number):
            # Its control socket is named after the interface, for all namespaces alike.
            name = names[side] = f"wg{os.getpid()}{side[0]}"
            key = self._folder("wireguard") / f"{side}.key"
            key.touch(mode=0o600)
            key.write_text(run(["wg", "genkey"]).stdout)
            keys[side] = key, run(["wg", "pubkey"], input=key.read_text()).stdout.strip()
            process = self.stage.start(f"wireguard-{side}", [program, "-f", name], netns)
            processes.append(process)
            socket = pathlib.Path(f"/var/run/wireguard/{name}.sock")
            self.stage.remember("path", socket)
            deadline = time.monotonic() + 5
            while not socket.exists():
                if time.monotonic() > deadline or not process.alive():
                    raise LabError(f"{program} does not start\n{process.tail()}")
                time.sleep(0.05)
        for side, netns, _, remote, own, _ in self._ends(number):
            other = "vps" if side == "home" else "home"
            run(["wg", "set", names[side], "listen-port", 51820, "private-key", keys[side][0],
                 "peer", keys[other][1], "endpoint", f"{remote}:51820", "allowed-ips", "0.0.0.0/0"])
            ip(netns, f"address add {own}/24 dev {names[side]}")
            ip(netns, f"link set {names[side]} up")
        return self._wait("wireguard-go", number, processes)

    def fastd(self, number):
        keys = {}
        for side, *_ in self._ends(number):
            words = run(["fastd", "--generate-key"]).stdout.split()
            keys[side] = words[words.index("Secret:") + 1], words[words.index("Public:") + 1]
        processes = []
        for side, netns, local, remote, own, _ in self._ends(number):
            other = "vps" if side == "home" else "home"
            config = self._folder("fastd") / f"{side}.conf"
            config.touch(mode=0o600)
            # 1406: the largest packet inside 1500 with its longest header, as it says itself.
            config.write_text(f'log level warn;\nmode tap;\ninterface "fastd{number}";\nmtu 1406;\n'
                              f'method "salsa2012+umac";\nbind {local}:10000;\nsecret "{keys[side][0]}";\n'
                              f'peer "other" {{ key "{keys[other][1]}"; remote {remote}:10000; }}\n')
            processes.append(self.stage.start(f"fastd-{side}", ["fastd", "-c", config], netns))
            self._address_when_there(netns, f"fastd{number}", own, processes[-1])
        return self._wait("fastd", number, processes)

    def openvpn(self, number):
        """TLS between two peers that know each other's certificate; AES-256-GCM, without the kernel's help."""
        folder, prints = self._folder("openvpn"), {}
        for side, *_ in self._ends(number):
            run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                 "-nodes", "-subj", f"/CN={side}", "-days", "2", "-keyout", folder / f"{side}.key",
                 "-out", folder / f"{side}.crt"])
            text = run(["openssl", "x509", "-fingerprint", "-sha256", "-noout", "-in",
                        folder / f"{side}.crt"]).stdout
            prints[side] = text.split("=", 1)[1].strip()
        processes = []
        for side, netns, local, remote, own, other_inner in self._ends(number):
            other = "vps" if side == "home" else "home"
            tls = ["--tls-server", "--dh", "none"] if side == "vps" else ["--tls-client"]
            processes.append(self.stage.start(f"openvpn-{side}", [
                "openvpn", "--dev", f"ovpn{number}", "--dev-type", "tun", "--proto", "udp", "--local", local,
                "--remote", remote, "1194", "--port", "1194", "--ifconfig", own, other_inner, *tls,
                "--cert", folder / f"{side}.crt", "--key", folder / f"{side}.key",
                "--peer-fingerprint", prints[other], "--data-ciphers", "AES-256-GCM", "--disable-dco",
                "--verb", "1", "--sndbuf", "0", "--rcvbuf", "0"], netns))
        return self._wait("openvpn", number, processes)

    def tinc(self, number):
        folders = {side: self._folder(f"tinc-{side}") for side in self._sides}
        for side, _, local, remote, own, _ in self._ends(number):
            other = "vps" if side == "home" else "home"
            folder = folders[side]
            (folder / "hosts").mkdir()
            (folder / "tinc.conf").write_text(f"Name = {side}\nMode = switch\nInterface = tinc{number}\n"
                                              f"ConnectTo = {other}\nAddressFamily = ipv4\n")
            (folder / "hosts" / side).write_text(f"Address = {local}\n")
            up = folder / "tinc-up"
            up.write_text(f"#!/bin/sh\nip address add {own}/24 dev $INTERFACE\nip link set $INTERFACE up\n")
            up.chmod(0o755)
            run(["tincd", "-c", folder, "-K", "2048"], input="\n\n")
        for side, *_ in self._ends(number):
            other = "vps" if side == "home" else "home"
            shutil.copy(folders[other] / "hosts" / other, folders[side] / "hosts" / other)
        processes = [self.stage.start(f"tinc-{side}", ["tincd", "-D", "-c", folders[side], "--pidfile",
                                                       folders[side] / "pid"], netns)
                     for side, netns, *_ in self._ends(number)]
        return self._wait("tinc", number, processes)

    def _address_when_there(self, netns, interface, address, process):
        deadline = time.monotonic() + 5
        while interface not in self.stage.run(netns, ["ip", "-o", "link"]).stdout:
            if time.monotonic() > deadline or not process.alive():
                raise LabError(f"{process.name} makes no interface\n{process.tail()}")
            time.sleep(0.05)
        ip(netns, f"address add {address}/24 dev {interface}")
        ip(netns, f"link set {interface} up")

    def mwtun(self, name, program, number, cipher, links=1, loop=None):
        tunnel = self.world.tunnel(program, number, self.world.links()[:links])
        if loop:
            tunnel.client_top["event_loop"] = tunnel.server_top["event_loop"] = loop
        tunnel.client_peer["cipher"] = tunnel.server_peer["cipher"] = cipher
        server = tunnel.start_server()
        client = tunnel.start_client()
        tunnel.wait_up()
        tunnel.wait_links_up()
        if loop and tunnel.status()["event_loop"] != loop:
            raise Unavailable(f"no {loop} here")
        target = Target(name, tunnel.vps_inner, [client, server])
        target.tunnel = tunnel
        return target
