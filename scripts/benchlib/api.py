"""What the HTTP interface takes: single entries at a steady rate, and a large export."""

import asyncio
import hashlib
import hmac
import random
import subprocess
import time
import urllib.request

from .parts import ENVIRONMENT, TABLES, Postgres, cpu_seconds, free_ports, until

RATE = 500
CONNECTIONS = 64
SECRET = "l" * 40
KEY = "qwed_live_" + "A" * 43


async def client(port, schedule, times, failures):
    """Asks at the times that it takes from the schedule. Late is late: what waits for a connection counts as well."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while schedule:
        due, entry = schedule.pop()
        await asyncio.sleep(max(0, due - time.monotonic()))
        writer.write(f"GET /admin/compliance/verify/{entry} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        times.append(time.monotonic() - due)
        if b" 200 " not in head.split(b"\r\n")[0] or b'"valid":true' not in body:
            failures.append(head + body)
    writer.close()


async def load(port, ids, seconds):
    start = time.monotonic() + 0.5
    schedule = [(start + number / RATE, random.choice(ids)) for number in range(RATE * seconds)]
    schedule.reverse()
    times, failures = [], []
    await asyncio.gather(*(client(port, schedule, times, failures) for _ in range(CONNECTIONS)))
    assert not failures, failures[0]
    return sorted(times)


def measure(programs, directory, scale, row):
    entries, seconds = 1_000_000 // scale, max(5, 30 // scale)
    server = Postgres(directory / "api-postgres", fsync=False)
    programs.copy_trail(server, entries)
    server.psql("-c", TABLES)
    digest = hmac.new((SECRET + ":qwed_api_key_lookup").encode(), KEY.encode(), hashlib.sha256).hexdigest()
    server.psql("-c", f"INSERT INTO apikey VALUES (1, '{digest}', 'qwed_live_', 1, 1, NULL, true, '2026-10-01', NULL, NULL, NULL, false)")
    state = server.database("state")
    metrics, port = free_ports(2)
    home = directory / "api"
    (home / "schedules").mkdir(parents=True)
    config = home / "trailkeeper.toml"
    config.write_text(f"""
data_dir = "{home}"
[qwed]
database_url = "{server.url}"
api_key_lookup_secret = "{SECRET}"
[state]
url = "{state}"
[metrics]
listen = "127.0.0.1:{metrics}"
[jobs]
dir = "{home}/schedules"
[http]
listen = "127.0.0.1:{port}"
requests_per_second = 100000
requests_per_second_per_key = 100000
[log]
level = "warn"
""")
    worker = subprocess.Popen([programs.trailkeeper, "run", "--config", config], env=ENVIRONMENT)
    ready = lambda: subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], stderr=subprocess.DEVNULL).returncode == 0
    until("the interface listens", ready, 30)
    ids = [int(line) for line in server.psql(
        "-At", "-c", "SELECT id FROM verificationlog WHERE organization_id = 1 ORDER BY random() LIMIT 20000").split()]
    asyncio.run(load(port, ids, 2))
    before = cpu_seconds(worker.pid)
    times = asyncio.run(load(port, ids, seconds))
    each = (cpu_seconds(worker.pid) - before) / len(times)
    at = lambda part: times[int(len(times) * part)] * 1e3
    row(f"Verify one entry over HTTP, PostgreSQL, {entries:,} entries, {RATE} requests/s for {seconds} s",
        f"median {at(0.5):.1f} ms, 99 of 100 within {at(0.99):.1f} ms; {each * 1e6:.0f} µs of the worker's CPU for each", f"{at(0.99):.1f} ms", "5 ms")
    server.psql("-c", "UPDATE verificationlog SET timestamp = now() - interval '1 day' + id * interval '1 millisecond'")
    request = urllib.request.Request(f"http://127.0.0.1:{port}/admin/compliance/export/csv?organization_id=1",
                                     headers={"x-api-key": KEY})
    start = time.monotonic()
    with urllib.request.urlopen(request) as answer:
        lines = sum(1 for _ in answer) - 1
    took = time.monotonic() - start
    peak = next(line for line in open(f"/proc/{worker.pid}/status") if line.startswith("VmHWM"))
    row(f"Export of {lines:,} lines as CSV over HTTP, PostgreSQL", f"{took:.2f} s, {int(peak.split()[1]) // 1024} MB at most",
        f"{lines / took:,.0f} lines/s", "100,000 lines/s")
    worker.terminate()
    worker.wait(60)
    server.stop()
