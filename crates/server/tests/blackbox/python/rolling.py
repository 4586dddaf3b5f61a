"""redis-py as a cluster client in a closed loop, until a file appears.

Nothing is caught but to be counted: what the library retries by itself is its business, what it
raises is an error of the cluster. Each thread has keys of its own and knows what must be there.
"""

import os
import sys
import threading
import time

import redis

host, ports, threads = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
end = sys.argv[4]
nodes = [redis.cluster.ClusterNode(host, int(port)) for port in ports]
ending = threading.Event()
errors, done = [], [0] * threads


def work(client, number):
    key, count, spread = f"key:{number}", f"count:{number}", f"spread:{number}"
    counted = 0
    while not ending.is_set():
        try:
            turn = done[number]
            assert client.set(key, turn) is True
            read = client.get(key)
            assert read == str(turn), f"{key} is {read}, not {turn}"
            # What a broken connection hides the library does again, so it may count twice.
            before, counted = counted, client.incr(count)
            assert counted > before, f"{count} fell from {before} to {counted}"
            client.set(f"{spread}:{turn % 50}", turn)
            done[number] += 1
        except Exception as error:  # noqa: BLE001: everything is to be seen
            errors.append(f"{type(error).__name__}: {error}")
    assert int(client.get(count)) == counted


def run(number):
    shared = number % 2 == 0
    client = common if shared else connect()
    try:
        work(client, number)
    except Exception as error:  # noqa: BLE001: everything is to be seen
        errors.append(f"at the end: {type(error).__name__}: {error}")


def connect():
    return redis.RedisCluster(startup_nodes=nodes, decode_responses=True)


common = connect()
workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
for worker in workers:
    worker.start()
while not os.path.exists(end):
    time.sleep(0.05)
ending.set()
for worker in workers:
    worker.join()
for text in sorted(set(errors)):
    print(f"{errors.count(text)} times {text}")
print(f"{len(errors)} errors in {sum(done)} rounds")
