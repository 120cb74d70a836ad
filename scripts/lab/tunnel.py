"""The real program between two namespaces: keys, files, both processes."""

import json
import os
import time

from .stage import LabError, Unavailable, run
from .traffic import wait_for_answer

HOME_INNER = "10.90.0.2"
VPS_INNER = "10.90.0.1"
PORT = 4649
SCHEDULERS = ("adaptive", "round-robin", "hash", "active-backup", "redundant")


def _toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value) if isinstance(value, (int, float)) else json.dumps(str(value))


def _section(header, values):
    lines = [header] if header else []
    return "\n".join(lines + [f"{key} = {_toml(value)}" for key, value in values.items()
                              if value is not None]) + "\n"


def write_config(path, top, peer, links=()):
    """A configuration file; None values are left out."""
    text = _section("", top) + "\n" + _section("[[peer]]", peer)
    for link in links:
        text += "\n" + _section("[[peer.link]]", link)
    path.write_text(text)
    return path


def make_key(program, path, kind="genkey"):
    path.touch(mode=0o600)
    path.write_text(run([program, kind]).stdout)
    return path


def public_key(program, path):
    return run([program, "pubkey"], input=path.read_text()).stdout.strip()


class Tunnel:
    """A server in one namespace, a client in another. Change `top`, `peer` and `links` of either side
    before it is started to try what the files can say."""

    def __init__(self, stage, program, vps, home, links, endpoint, name="mwt0", number=0):
        """`number` gives a further tunnel of the same stage files, a port and addresses of its own."""
        self.stage, self.program, self.vps, self.home = stage, program, vps, home
        self.vps_inner, self.home_inner = (address.replace(".90.0.", f".90.{number}.")
                                           for address in (VPS_INNER, HOME_INNER))
        self._mark = f"-{number}" if number else ""
        keys = {side: make_key(program, self._file(side, "key")) for side in ("client", "server")}
        psk = make_key(program, self._file("both", "psk"), "genpsk")
        self.server_top = {"private_key_file": keys["server"], "control": self._file("server", "sock"),
                           "listen": [f"0.0.0.0:{PORT + number}"]}
        self.server_peer = {"name": "home", "public_key": public_key(program, keys["client"]),
                            "preshared_key_file": psk, "tap": name, "address": [f"{self.vps_inner}/24"],
                            "mtu": 1500}
        self.client_top = {"private_key_file": keys["client"], "control": self._file("client", "sock")}
        self.client_peer = {"name": "vps", "public_key": public_key(program, keys["server"]),
                            "preshared_key_file": psk, "endpoint": endpoint, "tap": name,
                            "address": [f"{self.home_inner}/24"], "mtu": 1500,
                            "scheduler": "adaptive"}
        self.client_top["event_loop"] = self.server_top["event_loop"] = stage.event_loop
        self.links = list(links)
        self.server = self.client = None
        self.strangers = 0

    def _file(self, name, kind):
        return self.stage.folder / f"{name}{self._mark}.{kind}"

    def set_workers(self, workers):
        """So many in the server; its peer is the last one's, and the others have peers that never come.
        None: as it is."""
        if workers:
            self.server_top["workers"] = workers
            self.strangers = workers - 1

    def write_server(self):
        path = write_config(self._file("server", "toml"), self.server_top, self.server_peer)
        head, mark, own = path.read_text().partition("[[peer]]")
        for number in range(self.strangers):
            key = make_key(self.program, self._file(f"stranger{number}", "key"))
            head += _section("[[peer]]", {"name": f"stranger{number}", "tap": f"mwts{number}",
                                          "public_key": public_key(self.program, key)})
        path.write_text(head + mark + own)
        return path

    def write_client(self):
        return write_config(self._file("client", "toml"), self.client_top, self.client_peer,
                            self.links)

    def start_server(self):
        self.server = self.stage.start("mwtun-server", [self.program, "server", self.write_server()],
                                       self.vps)
        return self.server

    def start_client(self, scheduler=None):
        if scheduler:
            self.client_peer["scheduler"] = scheduler
        self.client = self.stage.start("mwtun-client", [self.program, "client", self.write_client()],
                                       self.home)
        return self.client

    def wait_up(self, seconds=10):
        """Until frames go both ways; the seconds it took."""
        took = wait_for_answer(self.stage, self.home, self.vps_inner, seconds, self.client)
        if took is None:
            raise LabError(f"no answer through the tunnel in {seconds} s\n{self.client.tail()}\n"
                           f"{self.server.tail() if self.server else ''}")
        if self.stage.event_loop not in (None, found := self.status()["event_loop"]):
            raise Unavailable(f"no event loop on {self.stage.event_loop}, but on {found}\n"
                              f"{self.client.tail()}")
        return took

    def wait_links_up(self, seconds=5):
        """Until every link carries frames, as the client sees it."""
        deadline = time.monotonic() + seconds
        while True:
            links = self.client_links()
            if links and all(link["state"] == "up" for link in links):
                return
            if time.monotonic() > deadline:
                raise LabError(f"links are not all up after {seconds} s: "
                               f"{ {link['name']: link['state'] for link in links} }\n"
                               f"{self.client.tail()}")
            time.sleep(0.05)

    def status(self, side="client", json_output=True):
        command = [self.program, "status", "--socket", self._file(side, "sock")]
        netns = self.home if side == "client" else self.vps
        text = self.stage.run(netns, command + (["--json"] if json_output else [])).stdout
        return json.loads(text) if json_output else text

    def links_of(self, side):
        # The server's own peer comes last.
        peers = self.status(side).get("peers", [])
        return peers[-1]["links"] if peers else []

    def client_links(self):
        return self.links_of("client")

    def server_links(self):
        return self.links_of("server")

    def restart_client(self, scheduler):
        self.client.stop()
        self.start_client(scheduler)
        return self.wait_up()

    def check_alive(self):
        for process in (self.server, self.client):
            if process and not process.alive():
                raise LabError(f"{process.name} ended with {process.wait(0)}\n{process.tail(30)}")

    def stop(self):
        codes = [process.stop() for process in (self.client, self.server) if process]
        self.client = self.server = None
        return codes


def cpu_seconds(pid):
    """Processor time of all threads of a process so far."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
            total += int(stat.read().split()[0])
    return total / 1e9
