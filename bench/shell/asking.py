"""
Ask for the history all the time, in a process of its own, and say how long it took.

    python -m bench.shell.asking PORT ACCESS_TOKEN

Prints the seconds that each request took, until its standard input ends.
"""

import http.client
import select
import sys
import time


def main(port: int, access_token: str) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {access_token}"}
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        began = time.perf_counter()
        client.request("GET", "/history/", headers=headers)
        answer = client.getresponse()
        answer.read()
        assert answer.status == 200
        print(time.perf_counter() - began)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
