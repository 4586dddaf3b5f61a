"""redis-py as most people use it: one address, no idea of a cluster."""

import sys

import redis

host, port = sys.argv[1], int(sys.argv[2])


def use(protocol):
    client = redis.Redis(host=host, port=port, protocol=protocol, decode_responses=True)
    assert client.ping()
    client.flushall()
    for number in range(200):
        assert client.set(f"key:{number}", number)
    assert [client.get(f"key:{number}") for number in range(200)] == [str(n) for n in range(200)]
    assert client.dbsize() == 200
    assert sorted(client.scan_iter(match="key:*", count=50)) == sorted(
        f"key:{number}" for number in range(200)
    )
    pipe = client.pipeline(transaction=False)
    for number in range(200):
        pipe.incr(f"count:{number}")
    assert pipe.execute() == [1] * 200
    with client.pipeline(transaction=True) as pipe:
        pipe.watch("{x}a")
        pipe.multi()
        pipe.set("{x}a", 1)
        pipe.incr("{x}a")
        assert pipe.execute() == [True, 2]
    with client.pipeline(transaction=True) as pipe:
        pipe.watch("{x}a")
        client.set("{x}a", 5)
        pipe.multi()
        pipe.set("{x}a", 6)
        try:
            pipe.execute()
            raise AssertionError("a write between WATCH and EXEC was not noticed")
        except redis.WatchError:
            pass
    assert client.set("short", "lived", ex=1000) and 900 < client.ttl("short") <= 1000
    assert client.getdel("short") == "lived" and client.get("short") is None
    assert client.info("server")["redis_mode"] == "cluster"


use(2)
use(3)
print("done")
