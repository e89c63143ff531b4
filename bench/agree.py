#!/usr/bin/env python3
"""Whether `towel load` and the benchmark's own driver say the same of one server.

    bench/agree.py BENCH towel --rounds 3
    bench/agree.py BENCH kamailio --work call --transport tcp

BENCH is the folder of the benchmark that bench/towel.toml names. The server has core 0 and stays up; the
two have core 1 in turns, flat out with as much under way, for as long, on users of their own, and after a
warm-up. What is compared is the server's processor time for a unit, and how many units a second end well.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("bench")
parser.add_argument("server", choices=["towel", "kamailio"])
parser.add_argument("--work", default="call,options,message,register")
parser.add_argument("--transport", choices=["udp", "tcp"], default="udp")
parser.add_argument("--window", type=int, default=32)
parser.add_argument("--seconds", type=float, default=3)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--load", default="target/release/towel", help="the program to measure with")
args = parser.parse_args()

sys.path.insert(0, args.bench)
import bench  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.chdir(ROOT)
os.environ.setdefault("TOWEL_CONF", os.path.join(ROOT, "bench", "towel.toml"))
options = argparse.Namespace(
    server_cores="0", load_cores="1", kamailio_children=1, kamailio_tcp_children=1, kamailio_mm="fm",
    kamailio_shm=4096, db_mode=1, qop=False, kamailio_core=None, usrloc_timer=60, keep=False)
features = ["tcp"] if args.transport == "tcp" else []
sockets = 64 if args.transport == "tcp" else bench.SOCKS
USERS = 1000


def driven(server, driver, work):
    """What the benchmark's driver says: microseconds a unit, units a second."""
    kind = dict(n=2000, users=USERS, rate=0, window=args.window, limit=30)
    if work == "register":
        kind = dict(n=USERS, rate=0, window=args.window, limit=30)
    before = driver.cmd(work, **kind)
    if work != "register":
        kind["n"] = min(400000, max(2000, int(before["ok"] / before["secs"] * args.seconds)))
    told = bench.measured(server, driver, work, **kind)
    return told["us"], told["ok"] / told["secs"]


def loaded(server, work):
    """The same of towel load."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        subprocess.run(
            ["taskset", "-c", "1", args.load, "load", f"127.0.0.1:{server.udp}", work, "--transport",
             args.transport, "--window", str(args.window), "--seconds", str(args.seconds), "--warm-up", "2",
             "--users", str(USERS), "--sockets", str(sockets), "--domain", "bench.test",
             "--server-pid", str(server.proc.pid), "--out", out.name],
            check=True, stdout=subprocess.DEVNULL)
        step = json.load(out)["steps"][-1]
    return step["server"]["us_per_unit"], step["goodput"]


with bench.make(options, args.server, features, users=USERS, socks=sockets) as server:
    with bench.Driver(server, args.transport, sockets) as driver:
        bench.prov(options, server, driver, USERS)
        print(f"{'work':>10}  {'driver us':>10} {'load us':>9} {'ratio':>6}   {'driver/s':>9} {'load/s':>9}")
        for work in args.work.split(","):
            theirs, ours = [], []
            for _ in range(args.rounds):
                theirs.append(driven(server, driver, work))
                ours.append(loaded(server, work))
                bench.prov(options, server, driver, USERS)
            a, b = (statistics.median(one[0] for one in all) for all in (theirs, ours))
            c, d = (statistics.median(one[1] for one in all) for all in (theirs, ours))
            print(f"{work:>10}  {a:10.1f} {b:9.1f} {b / a:6.2f}   {c:9.0f} {d:9.0f}", flush=True)
