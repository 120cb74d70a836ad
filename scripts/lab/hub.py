"""A server with several clients, each a namespace of its own with a line of its own."""

import json

from .stage import ip
from .tunnel import PORT, make_key, public_key, write_config
from .world import SERVER, World, keep_inner_inside


class Hub:
    """Nothing runs before start_server() and start_client(). Clients count from 1. With `bridge` all are
    in that bridge of the server, as 10.90.0.CLIENT; without, each has a network of its own with it."""

    def __init__(self, stage, program, clients, bridge=None, top=()):
        self.stage, self.program, self.bridge = stage, program, bridge
        self.world = World(stage, None, settings=[""] * clients)
        self.vps, self.homes = self.world.vps, []
        server_key = make_key(program, stage.folder / "server.key")
        text = ""
        for number in range(1, clients + 1):
            home, name = stage.netns(f"client{number}"), self.world.names[number - 1]
            ip(self.world.home, f"link set {name} netns {home}")
            ip(home, f"address add {self.world.near(number)}/28 dev {name}")
            ip(home, f"link set {name} up")
            ip(home, f"route add default via {self.world.far(number)}")
            keep_inner_inside(home)
            key = make_key(program, stage.folder / f"client{number}.key")
            peer = {"name": f"client{number}", "public_key": public_key(program, key), "tap": f"mwt{number}",
                    "bridge": bridge, "address": None if bridge else [f"{self.server_inner(number)}/24"]}
            text += write_config(stage.folder / "part.toml", {}, peer).read_text()
            write_config(stage.folder / f"client{number}.toml",
                         {"private_key_file": key, "control": stage.folder / f"client{number}.sock"},
                         {"name": "hub", "public_key": public_key(program, server_key), "tap": "mwt0",
                          "endpoint": f"{SERVER}:{PORT}", "address": [f"{self.inner(number)}/24"]})
            self.homes.append(home)
        if bridge:
            ip(self.vps, f"link add {bridge} type bridge")
            ip(self.vps, f"address add {self.server_inner(1)}/24 dev {bridge}")
            ip(self.vps, f"link set {bridge} up")
        head = write_config(stage.folder / "top.toml",
                            {"private_key_file": server_key, "listen": [f"0.0.0.0:{PORT}"],
                             "control": stage.folder / "server.sock", **dict(top)}, {})
        self.config = stage.folder / "server.toml"
        self.config.write_text(head.read_text().replace("[[peer]]\n", "") + text)
        self.server, self.clients = None, [None] * clients

    def inner(self, number):
        """A client's address in the tunnel."""
        return f"10.90.0.{number}" if self.bridge else f"10.90.{number}.2"

    def server_inner(self, number):
        """The server's address in the tunnel of a client."""
        return "10.90.0.254" if self.bridge else f"10.90.{number}.1"

    def home(self, number):
        return self.homes[number - 1]

    def start_server(self):
        self.server = self.stage.start("mwtun-server", [self.program, "server", self.config], self.vps)
        return self.server

    def start_client(self, number):
        client = self.stage.start(f"mwtun-client{number}",
                                  [self.program, "client", self.stage.folder / f"client{number}.toml"],
                                  self.home(number))
        self.clients[number - 1] = client
        return client

    def status(self, json_output=True):
        """The server's."""
        command = [self.program, "status", "--socket", self.stage.folder / "server.sock"]
        text = self.stage.run(self.vps, command + (["--json"] if json_output else [])).stdout
        return json.loads(text) if json_output else text
