"""libzmq's side of zmq.test.ts: `publish`, `subscribe` or `send`. Prints JSON, a line for each thing that is to be known."""
import json
import os
import sys
import zmq


def tell(**what):
    print(json.dumps(what), flush=True)


def publish(port, replay_port, messages, first):
    """PUB and ROUTER as vLLM has them. Publishes on each line of stdin, so that a subscriber is there."""
    context = zmq.Context()
    pub, router = context.socket(zmq.PUB), context.socket(zmq.ROUTER)
    pub.set_hwm(100_000)
    # A ROUTER drops what is beyond it; here nothing is to be lost.
    router.set_hwm(0)
    for socket, at in ((pub, port), (router, replay_port)):
        socket.setsockopt(zmq.LINGER, 5000)
        socket.bind(f"tcp://127.0.0.1:{at}")
    tell(bound=[s.getsockopt(zmq.LAST_ENDPOINT).decode().rsplit(":", 1)[1] for s in (pub, router)])
    # Unbuffered: a line that was read ahead would wake nobody.
    stdin = os.fdopen(0, "rb", 0)
    poller = zmq.Poller()
    poller.register(router, zmq.POLLIN)
    poller.register(stdin, zmq.POLLIN)
    while True:
        for ready, _ in poller.poll():
            if ready is router:
                asker, empty, start = router.recv_multipart()
                for seq in range(int.from_bytes(start, "big"), first + messages):
                    router.send_multipart((asker, b"", b"topic", seq.to_bytes(8, "big"), payload(seq)))
                router.send_multipart((asker, b"", b"", b"\xff" * 8, b""))
                continue
            line = stdin.readline().strip()
            if line == b"probe":
                pub.send_multipart((b"probe", b"", b""))
            elif line == b"all":
                for seq in range(first, first + messages):
                    pub.send_multipart((b"topic", seq.to_bytes(8, "big"), payload(seq)))
            else:
                context.destroy()
                return


def payload(seq):
    return seq.to_bytes(4, "big") * (75_000 if seq % 1000 == 0 else 30)


def subscribe(port, replay_port, messages, _):
    """SUB and DEALER against our PUB and ROUTER."""
    context = zmq.Context()
    sub, dealer = context.socket(zmq.SUB), context.socket(zmq.DEALER)
    sub.set_hwm(0)
    sub.setsockopt(zmq.HEARTBEAT_IVL, 100)
    # Else it gives up a peer that is busy for as long as the interval.
    sub.setsockopt(zmq.HEARTBEAT_TIMEOUT, 10_000)
    sub.setsockopt(zmq.HEARTBEAT_TTL, 10_000)
    sub.setsockopt(zmq.RCVTIMEO, 20_000)
    dealer.setsockopt(zmq.RCVTIMEO, 20_000)
    for topic in (b"topic", b"probe"):
        sub.setsockopt(zmq.SUBSCRIBE, topic)
    sub.connect(f"tcp://127.0.0.1:{port}")
    sub.recv_multipart()
    tell(joined=True)
    expected = 0
    while expected < messages:
        topic, *rest = sub.recv_multipart()
        if topic == b"probe":
            continue
        seq, body = rest
        if int.from_bytes(seq, "big") != expected or body != payload(expected):
            return tell(wrong=expected)
        expected += 1
    dealer.connect(f"tcp://127.0.0.1:{replay_port}")
    dealer.send_multipart((b"", (7).to_bytes(8, "big")))
    answers = [dealer.recv_multipart() for _ in range(3)]
    tell(received=expected, answers=[[frame.hex() for frame in frames] for frames in answers])
    context.destroy(linger=0)


def send(kind, port, payload):
    """DEALER as a worker that registers itself, or PUSH as LMCache: on each line of stdin, from before there is a listener."""
    context = zmq.Context()
    socket = context.socket({"dealer": zmq.DEALER, "push": zmq.PUSH}[kind])
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDTIMEO, 20_000)
    socket.connect(f"tcp://127.0.0.1:{port}")
    tell(joined=True)
    for _ in sys.stdin:
        socket.send(bytes.fromhex(payload))
    context.destroy(linger=0)


if __name__ == "__main__":
    mode, *rest = sys.argv[1:]
    if mode == "send":
        send(*rest)
    else:
        {"publish": publish, "subscribe": subscribe}[mode](*map(int, rest))
