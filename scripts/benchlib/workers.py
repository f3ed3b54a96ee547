"""The worker: how fast it takes jobs in and works them off, how soon it notices one, and what it costs when idle."""
import json
import sys
import time

from .parts import Postgres, RabbitMq, State, Worker, run, until

# Runs side by side while overhead is measured: enough that the next jobs are claimed while ends are written.
CONCURRENCY = 256
IDLE_SECONDS = 30
BURN_SECONDS = 20


class Bench:
    """What all measurements share."""

    def __init__(self, programs, directory, scale, row):
        self.programs, self.directory, self.scale, self.row = programs, directory, scale, row
        self.server = Postgres(directory / "postgres-state", fsync=True)
        self.broker = RabbitMq(directory / "rabbitmq")
        self.measured = set()

    def stop(self):
        for worker in [*Worker.running]:
            worker.stop()
        self.broker.stop()
        self.server.stop()

    def state(self, dialect):
        return State(self.programs, self.directory, self.server if dialect == "PostgreSQL" else None)

    def worker(self, state, **sections):
        return Worker(self.programs, self.directory, state, **sections)

    def feed(self, *arguments):
        run(self.programs.feed, *arguments)


def measure(programs, directory, scale, row, only=None):
    """Everything about workers; answers the table for docs/scaling.md."""
    bench = Bench(programs, directory, scale, row)
    steps = {"intake": intake, "overhead": overhead, "latency": latency, "idle": idle, "heartbeats": heartbeats,
             "scaling": scaling}
    table = None
    try:
        for name, step in steps.items():
            if only is None or name in only:
                table = step(bench)
    finally:
        bench.stop()
    return table


def intake(bench):
    """From RabbitMQ to committed rows. The worker serves no queue, so that it only takes in."""
    count = 50_000 // bench.scale
    for dialect, bar in (("PostgreSQL", "5,000/s"), ("SQLite", "3,000/s")):
        state = bench.state(dialect)
        bench.feed(count, "--publish", bench.broker.url)
        worker = bench.worker(state, amqp={"url": bench.broker.url}, jobs={"queues": ["none"]})
        until("all messages are taken in", lambda: state.number("SELECT count(*) FROM inbox") >= count)
        seconds = state.number("SELECT max(received_at) - min(received_at) FROM inbox") / 1e6
        jobs = state.number("SELECT count(*) FROM job")
        used = worker.cpu_seconds()
        worker.stop()
        if jobs != count:
            sys.exit(f"{count} messages became {jobs} jobs")
        bench.row(f"Intake from RabbitMQ to committed jobs, {dialect}",
                  f"{count:,} messages in {seconds:.2f} s; {used / count * 1e6:.0f} µs of the worker's CPU for each",
                  f"{count / seconds:,.0f}/s", bar)


def overhead(bench):
    """From claim to end of jobs that do nothing, one worker."""
    count = 20_000 // bench.scale
    for dialect, concurrency, bar in (("PostgreSQL", CONCURRENCY, "2,000/s"), ("PostgreSQL", 8, "–"),
                                      ("SQLite", CONCURRENCY, "–")):
        state = bench.state(dialect)
        bench.feed(count, "--enqueue", state.url)
        worker = bench.worker(state, jobs={"concurrency": concurrency})
        until("all jobs are done", lambda: state.number(
            "SELECT count(*) FROM job WHERE state = 'succeeded'") >= count)
        seconds = state.number("SELECT max(finished_at) - min(started_at) FROM job") / 1e6
        used = worker.cpu_seconds()
        worker.stop()
        bench.row(f"No-op jobs from claim to end, {dialect}, jobs.concurrency = {concurrency}",
                  f"{count:,} jobs in {seconds:.2f} s; {used / count * 1e6:.0f} µs of the worker's CPU for each",
                  f"{count / seconds:,.0f}/s", bar)


def latency(bench):
    """From insert to start by an idle worker, by the database's clock, the commit between them included."""
    count = 300 // min(bench.scale, 5)
    for dialect in ("PostgreSQL", "SQLite"):
        state = bench.state(dialect)
        worker = bench.worker(state)
        bench.feed(count, "--enqueue", state.url, "--pause", "20..120")
        until("all jobs are done", lambda: state.number(
            "SELECT count(*) FROM job WHERE state = 'succeeded'") >= count)
        waits = sorted(wait / 1e3 for wait, in state.ask("SELECT started_at - created_at FROM job"))
        worker.stop()
        at = [waits[min(int(len(waits) * share), len(waits) - 1)] for share in (0.5, 0.99)]
        bench.row(f"Pick-up by an idle worker, {dialect}",
                  f"{count} jobs, 20 to 120 ms apart: median {at[0]:.1f} ms, longest {waits[-1]:.1f} ms",
                  f"p99 {at[1]:.1f} ms", "p99 50 ms")


def idle(bench):
    """What a worker costs that has nothing to do."""
    seconds = IDLE_SECONDS // min(bench.scale, 3)
    for what, worker in (
            ("SQLite", bench.worker(bench.state("SQLite"))),
            ("PostgreSQL and RabbitMQ", bench.worker(bench.state("PostgreSQL"), amqp={"url": bench.broker.url}))):
        time.sleep(2)
        before = worker.cpu_seconds()
        time.sleep(seconds)
        used = worker.cpu_seconds() - before
        worker.stop()
        bench.row(f"Idle worker, {what}", f"{used * 1e3:.0f} ms of CPU in {seconds} s", f"{used / seconds:.2%} of a core",
                  "1 %")


def trail(bench):
    """A trail on PostgreSQL, made when first needed; its URL and its size."""
    entries = 1_000_000 // bench.scale
    if "trail" not in bench.measured:
        bench.server.database("trail")
        bench.programs.copy_trail(bench.server, entries, database="trail")
        bench.measured.add("trail")
    return f"{bench.server.base}/trail", entries


def heartbeats(bench):
    """How late heartbeats are while everything that can compute does."""
    url, entries = trail(bench)
    seconds = BURN_SECONDS // min(bench.scale, 4)
    state = bench.state("PostgreSQL")
    # A short lease only so that there are many heartbeats to look at: they are due at a third of it.
    worker = bench.worker(state, qwed={"database_url": url}, jobs={"lease_seconds": 1})
    bench.feed(1, "--enqueue", state.url, "--payload", json.dumps({"burn_ms": seconds * 1000}))
    bench.feed(2, "--enqueue", state.url, "--kind", "verify_trail")
    until("all jobs are done", lambda: state.ask(
        "SELECT count(*) FROM job WHERE finished_at IS NULL") == [(0,)], 300)
    bad = state.ask("SELECT kind, error FROM job WHERE state <> 'succeeded' OR attempt > 1")
    if bad:
        sys.exit(f"jobs failed or lost their lease: {bad}")
    metrics = worker.metrics()
    worker.stop()
    name = "trailkeeper_heartbeat_delay_seconds"
    total = metrics[f"{name}_count"]
    bounds = [(float(series.split('"')[1]), value) for series, value in metrics.items()
              if series.startswith(f"{name}_bucket")]
    bounds.sort()
    longest = next(bound for bound, value in bounds if value == total)
    within = dict(bounds)[0.1] / total
    bench.row(f"Delay of heartbeats, all cores busy for {seconds} s and {entries:,} entries verified twice",
              f"{total:.0f} heartbeats, {dict(bounds)[0.02] / total:.1%} within 20 ms, {within:.1%} within 100 ms",
              f"all within {longest * 1e3:.0f} ms", "100 ms")


def scaling(bench):
    """One verification, shared by more and more worker processes; a table."""
    url, entries = trail(bench)
    lines = ["| workers | wall time | entries/s | speed-up | entries that each checked |", "|---|---|---|---|---|"]
    alone = None
    for count in (1, 2, 4):
        state = bench.state("PostgreSQL")
        workers = [bench.worker(state, qwed={"database_url": url}, jobs={"concurrency": 1},
                                verify={"threads": 1, "piece_entries": 100_000 // bench.scale}) for _ in range(count)]
        bench.feed(1, "--enqueue", state.url, "--kind", "verify_trail")
        done = until("the trail is verified", lambda: state.ask(
            "SELECT state, finished_at - created_at FROM job WHERE kind = 'verify_trail' AND finished_at > 0"), 300)
        pieces = state.ask("SELECT worker, outcome FROM job WHERE kind = 'verify_piece'")
        for worker in workers:
            worker.stop()
        if done[0][0] != "succeeded":
            sys.exit(f"the verification is {done[0][0]}")
        shares = {}
        for worker, outcome in pieces:
            shares[worker] = shares.get(worker, 0) + json.loads(outcome)["entries"]
        if sum(shares.values()) != entries:
            sys.exit(f"{sum(shares.values())} entries were checked instead of {entries}")
        seconds = done[0][1] / 1e6
        alone = alone or seconds
        each = ", ".join(f"{share:,}" for share in sorted(shares.values(), reverse=True))
        lines.append(f"| {count} | {seconds:.2f} s | {entries / seconds:,.0f} | {alone / seconds:.2f} | {each} |")
        print(f"{count} workers: {seconds:.2f} s; {each}", flush=True)
    return (f"{entries:,} entries on PostgreSQL, pieces of {100_000 // bench.scale:,} entries, one reading thread and "
            f"one run at a time in each worker:\n\n" + "\n".join(lines) + "\n\n" + CAVEAT)


CAVEAT = """Workers, PostgreSQL and the measuring share the machine's cores, and PostgreSQL spends about as much on a COPY as a
worker on checking it. So what is seen is how evenly work is shared and what sharing costs, not what more machines would give."""
