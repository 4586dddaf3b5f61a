"""redis-py as a cluster client, with leases that move under it."""

import sys

import redis

host, port = sys.argv[1], int(sys.argv[2])
admin = redis.Redis(host=host, port=port, decode_responses=True)


def transfer(shift):
    """Gives every shard to another node than before."""
    for shard in range(1, 17):
        target = (shard + shift) % 3 + 1
        reply = admin.execute_command("LEASEHOLD", "TRANSFER", shard, target)
        assert reply in (True, "OK"), reply


def use(protocol):
    client = redis.RedisCluster(host=host, port=port, protocol=protocol, decode_responses=True)
    assert len(client.get_nodes()) == 3
    client.flushall()
    for shift in range(3):
        for number in range(200):
            assert client.set(f"key:{number}", f"{number}:{shift}")
        transfer(shift)
        for number in range(200):
            assert client.get(f"key:{number}") == f"{number}:{shift}"
        pipe = client.pipeline()
        for number in range(100):
            pipe.incr(f"count:{number}")
        assert pipe.execute() == [shift + 1] * 100
        if shift == 1:
            # A new picture of the cluster, after the leases have moved.
            client.nodes_manager.initialize()
    # Without a target, version 8 of the library asks one node only.
    assert client.dbsize(target_nodes=client.PRIMARIES) == 300
    assert sorted(client.scan_iter(match="key:*", count=50)) == sorted(
        f"key:{number}" for number in range(200)
    )
    assert client.mget_nonatomic([f"key:{number}" for number in range(5)]) == [
        f"{number}:2" for number in range(5)
    ]
    assert len(client.keys("count:*", target_nodes=client.ALL_NODES)) == 100
    client.flushall()
    assert client.dbsize(target_nodes=client.PRIMARIES) == 0


# A node that holds nothing is not in the topology; from here on each holds something.
transfer(0)
use(2)
use(3)
print("done")
