#!/usr/bin/env python3
"""Goodput over offered load, far beyond what a server can do.

    bench/overload.py BENCH towel --sweep 1000,2000,4000,10000,20000 --share 0.1
    bench/overload.py BENCH kamailio --sweep 500,1000,2000,7000 --share 0.1 --transport tcp

BENCH is the folder of the benchmark that bench/towel.toml names. The server has core 0, `towel load`
core 1. With --share a control group (version 1, so root) leaves the server that much of its core:
one core of load can then offer ten times of what the server can do, and more. The programs are those of
target/release; --towel names another to be measured, --load another to measure with.
"""
import argparse, json, os, subprocess, sys, threading

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("bench")
parser.add_argument("server", choices=["towel", "kamailio"])
parser.add_argument("--sweep", default="5000,10000,20000,40000")
parser.add_argument("--seconds", default="4")
parser.add_argument("--share", type=float, default=1.0)
parser.add_argument("--period", type=int, default=10000, help="microseconds in which the share is given")
parser.add_argument("--transport", choices=["udp", "tcp"], default="udp")
parser.add_argument("--warm-up", default="2")
parser.add_argument("--towel", default="target/release/towel", help="the server to measure")
parser.add_argument("--load", default="target/release/towel", help="the program to measure with")
parser.add_argument("--out", default="overload.json")
args = parser.parse_args()

sys.path.insert(0, args.bench)
import acct, servers  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.chdir(ROOT)
os.environ.setdefault("TOWEL_CONF", os.path.join(ROOT, "bench", "towel.toml"))
options = argparse.Namespace(
    server_cores="0", kamailio_children=1, kamailio_tcp_children=1, kamailio_mm="fm", kamailio_shm=4096,
    db_mode=1, qop=False, kamailio_core=None, usrloc_timer=60, keep=False)
group = f"/sys/fs/cgroup/cpu/overload-{os.getpid()}" if args.share < 1 else None
peak, done = [0], threading.Event()
if not os.path.exists(args.load):
    sys.exit(f"{args.load} is not there: cargo build --release -p towel, or name one with --load")
features = {"tcp"} if args.transport == "tcp" else set()
adapter = servers.ADAPTERS[args.server]


class Chosen(adapter):
    """The server, its program the one that is to be measured."""

    def conf(self):
        conf = super().conf()
        conf["cmd"] = conf["cmd"].replace("target/release/towel", args.towel)
        return conf


with Chosen(options, feats=features, users=500) as server:
    tree = acct.tree(server.proc.pid)
    if group:
        os.mkdir(group)
        for name, value in [("cpu.cfs_period_us", args.period), ("cpu.cfs_quota_us", int(args.period * args.share))]:
            with open(f"{group}/{name}", "w") as file:
                file.write(str(value))
        for pid in tree:
            with open(f"{group}/cgroup.procs", "w") as file:
                file.write(str(pid))

    def watch():
        while not done.wait(0.5):
            try:
                peak[0] = max(peak[0], acct.mem(server.proc.pid)["pss"])
            except (OSError, KeyError):
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        subprocess.run(
            ["taskset", "-c", "1", args.load, "load", f"127.0.0.1:{server.udp}", "call",
             "--transport", args.transport,
             "--sweep", args.sweep, "--seconds", args.seconds, "--warm-up", args.warm_up, "--users", "500",
             "--domain", "bench.test", "--server-pid", str(server.proc.pid), "--out", args.out],
            check=True, stdout=subprocess.DEVNULL)
    finally:
        done.set()
        server.stop()
        if group:
            os.rmdir(group)

with open(args.out) as file:
    report = json.load(file)
for step in report["steps"]:
    print(f"{step['name']:>10} goodput {step['goodput']:7.0f}  503 {step['refused'].get('503', 0):6}"
          f"  sent again {step['retransmissions']:8}  cores: server {step['server']['load']:.2f}"
          f" load {step['generator']['load']:.2f}")
print(f"most memory (PSS): {peak[0] / 1e6:.0f} MB")
