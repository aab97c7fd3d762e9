"""What the timeouts of Python's HTTP clients bound.

Takes targets as name=URL and asks each with each timeout of each client, all
at once. Prints a line a cell: the timeout's name, the target and what became of
it: cut, or - where the call went on.
"""

import http.client
import ssl
import sys
import threading
import time
import urllib.parse
import warnings

import requests
import urllib3

BOUND = 1.0  # seconds, of each timeout
GOES_ON = 2.5  # what takes longer was not cut: the targets take 4 s, or for ever

warnings.simplefilter("ignore")  # the targets' certificate is their own


def http_client(url):
    at = urllib.parse.urlsplit(url)
    if at.scheme == "https":
        context = ssl._create_unverified_context()
        c = http.client.HTTPSConnection(at.netloc, timeout=BOUND, context=context)
    else:
        c = http.client.HTTPConnection(at.netloc, timeout=BOUND)
    c.request("GET", at.path)
    c.getresponse().read()


def with_urllib3(timeout):
    def get(url):
        pool = urllib3.PoolManager(cert_reqs="CERT_NONE", retries=False)
        pool.request("GET", url, timeout=timeout)

    return get


def with_requests(timeout):
    def get(url):
        with requests.Session() as session:
            session.trust_env = False
            session.get(url, timeout=timeout, verify=False)

    return get


CLIENTS = {
    "http.client timeout": http_client,
    "urllib3 connect": with_urllib3(urllib3.Timeout(connect=BOUND)),
    "urllib3 read": with_urllib3(urllib3.Timeout(read=BOUND)),
    "urllib3 total": with_urllib3(urllib3.Timeout(total=BOUND)),
    "requests connect": with_requests((BOUND, None)),
    "requests read": with_requests((None, BOUND)),
    "requests timeout": with_requests(BOUND),
}

TIMEOUTS = (
    TimeoutError,
    urllib3.exceptions.TimeoutError,
    urllib3.exceptions.NewConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ConnectionError,
)


def cell(get, url, results, key):
    start = time.monotonic()
    try:
        get(url)
        results[key] = "it completed"
    except TIMEOUTS:
        results[key] = "cut"
    except Exception as e:  # told, as it is no timeout
        results[key] = repr(e)
    if time.monotonic() - start > GOES_ON:
        results[key] = "-"
    elif time.monotonic() - start < BOUND:
        results[key] += " before its time"


def main():
    results, threads = {}, []
    for name, get in CLIENTS.items():
        for target in sys.argv[1:]:
            target, url = target.split("=", 1)
            key = name + "\t" + target
            results[key] = "-"
            args = (get, url, results, key)
            threads.append(threading.Thread(target=cell, args=args, daemon=True))
    for thread in threads:
        thread.start()
    end = time.monotonic() + GOES_ON + 2 * BOUND
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    for key, what in results.items():
        print(key + "\t" + what)


main()
