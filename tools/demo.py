#!/usr/bin/env python3
"""Plays the whole story against a running Fluxrate, or starts one: sign up, meter, plan, customer, subscription,
10,000 events of which one in twenty is sent twice, the end of the month, the draft, the grace period, the invoice and
its e-mail. Uses the public API and the local clock; needs nothing but Python."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlparse

EVENTS = 10_000
REPEAT_EVERY = 20
START = "2025-01-01T00:00:00Z"
LAST_EVENT = "2025-01-30T00:00:00Z"
PASSWORD = "correct horse battery staple"


class Api:
    """A client of the public API: a session for people, a key for programs."""

    def __init__(self, base):
        self.base, self.cookies, self.key = base, {}, None
        self.threads = threading.local()

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method)
        if self.cookies:
            request.add_header("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        data = None
        if body is not None:
            request.add_header("Content-Type", "application/json")
            data = json.dumps(body).encode()
        try:
            answer = urllib.request.urlopen(request, data=data, timeout=600)
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path} answered {error.code}: {error.read().decode()}")
        for header in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = header.partition("=")
            self.cookies[name] = value.split(";")[0]
        text = answer.read()
        return json.loads(text, parse_float=str) if text else None

    def api(self, method, path, body=None):
        return self.call(method, "/api/v1" + path, body)

    def track(self, body):
        """Sends one event over a connection that its thread keeps."""
        if not hasattr(self.threads, "connection"):
            self.threads.connection = HTTPConnection(urlparse(self.base).netloc, timeout=60)
        headers = {"Content-Type": "application/json", "X-API-Key": self.key}
        self.threads.connection.request("POST", "/api/v1/sdk/track", json.dumps(body), headers)
        answer = self.threads.connection.getresponse()
        text = answer.read()
        if answer.status != 201:
            raise SystemExit(f"an event was answered {answer.status}: {text.decode()}")


def say(text, *details):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)
    for detail in details:
        print(f"  {detail}", flush=True)


def progress(done, total):
    if sys.stdout.isatty():
        bar = "█" * (30 * done // total)
        print(f"\r  {bar:<30} {done:>6,} of {total:,}", end="\n" if done == total else "", flush=True)
    elif done % (total // 10) == 0:
        print(f"  {done:,} of {total:,} sent", flush=True)


def events(token):
    """Event n is 1 + (7 n mod 13) calls, somewhere in January; every twentieth is sent again, with another time."""
    for n in range(EVENTS):
        at = f"2025-01-{1 + n % 28:02}T{n % 24:02}:{n % 60:02}:00Z"
        event = {"meter_token": token, "customer_external_id": "acme-corp-001", "quantity": 1 + 7 * n % 13,
                 "timestamp": at, "idempotency_key": f"request-{n}"}
        yield event
        if n % REPEAT_EVERY == 0:
            yield {**event, "timestamp": "2025-01-29T00:00:00Z"}


def send(api, token):
    sent, total, lock = 0, EVENTS + EVENTS // REPEAT_EVERY, threading.Lock()

    def one(event):
        nonlocal sent
        api.track(event)
        with lock:
            sent += 1
            if sent % 50 == 0 or sent == total:
                progress(sent, total)

    with ThreadPoolExecutor(16) as pool:
        for result in [pool.submit(one, event) for event in events(token)]:
            result.result()


def play(api):
    clock = api.call("GET", "/local/clock")
    if not clock.get("movable"):
        sys.exit("This platform runs on the real clock, and a month takes a month there. Run `make demo` without one "
                 "running, or start it with --clock 2025-01-01T00:00:00Z.")
    email = f"founder-{uuid.uuid4().hex[:8]}@example.com"

    def sign_in():
        api.api("POST", "/auth/login", {"email": email, "password": PASSWORD})

    me = api.api("POST", "/auth/signup", {"email": email, "password": PASSWORD, "organization_name": "Northwind"})
    say("1. Signed up", f"{email} owns {me['organization']['name']}")

    api.key = api.api("POST", "/api-keys", {"name": "demo", "scopes": ["usage.write", "usage.read"]})["key"]
    feature = api.api("POST", "/features", {
        "name": "API Calls", "lookup_key": "api_calls", "type": "meter", "meter_name": "api_calls",
        "property_name": "call_count", "aggregation_type": "SUM", "unit": "calls"})
    say("2. Made a feature with a meter", "api_calls: the SUM of call_count")

    plan = api.api("POST", "/plans", {"name": "Pro", "lookup_id": "pro", "type": "HYBRID", "billing_interval": "month",
                                      "currency": "USD"})
    api.api("POST", f"/plans/{plan['id']}/charges", {"type": "FIXED", "unit_price": 49.00, "display_name": "Base"})
    api.api("POST", f"/plans/{plan['id']}/charges", {
        "type": "USAGE", "meter_id": feature["meter_id"], "charge_model": "graduated", "display_name": "API calls",
        "tiers": [{"up_to": 1000, "unit_price": 0.002}, {"up_to": 10000, "unit_price": 0.001},
                  {"up_to": None, "unit_price": 0.0005}]})
    say("3. Made a hybrid plan", "USD 49.00 a month", "and calls: to 1,000 at 0.002, to 10,000 at 0.001, above at 0.0005")

    customer = api.api("POST", "/customers", {"name": "Acme Corp", "email": "billing@acme.example",
                                              "external_id": "acme-corp-001", "billing_address_country": "US"})
    api.api("POST", "/subscriptions", {"customer_id": customer["id"], "plan_id": plan["id"], "start_date": START})
    say("4. Subscribed Acme Corp to it", "from 1 January 2025")

    api.call("POST", "/local/clock", {"advance_to": LAST_EVENT})
    say(f"5. Sending {EVENTS:,} events, and every {REPEAT_EVERY}th twice")
    began = time.time()
    send(api, feature["meter_token"])
    api.call("POST", "/local/drain", {})
    print(f"  accepted and counted in {time.time() - began:.0f} s", flush=True)

    sign_in()
    usage = api.api("GET", f"/meters/{feature['meter_id']}/usage?start_date=2025-01-01&end_date=2025-01-31")
    say("6. Asked for the usage", f"{usage['event_count']:,} events, {usage['total_usage']:,} calls: no event counted twice")

    api.call("POST", "/local/clock", {"advance_to": "2025-02-01T00:01:00Z"})
    sign_in()
    draft = api.api("GET", f"/customers/{customer['id']}/invoices")["data"][0]
    say("7. The month ended", f"{draft['status']} invoice, to be finalized at {draft['scheduled_finalize_at']}")

    api.call("POST", "/local/clock", {"advance_to": "2025-02-01T01:01:00Z"})
    api.call("POST", "/local/drain", {})
    sign_in()
    invoice = api.api("GET", f"/invoices/{draft['id']}")
    say("8. The grace period ended", f"{invoice['status']} invoice {invoice['invoice_number']}")
    for line in invoice["line_items"]:
        print(f"  {line['description']:<10} {line['quantity']:>8} = {line['line_total']:>8}")
        for tier in line["tiers"]:
            print(f"             {tier['quantity']:>6} x {tier['unit_price']} = {tier['amount']}")
    print(f"  total      USD {invoice['total']}")

    mails = [mail for mail in api.call("GET", "/local/outbox") if mail["invoice_id"] == invoice["id"]]
    say("9. Mailed it, with the PDF", *(f"to {mail['to']}: {mail['subject']}" for mail in mails))
    say("Where to look",
        f"the e-mail        {mails[0]['file']}",
        f"the PDF           {api.base}/api/v1/invoices/{invoice['id']}/pdf (signed in as {email}, \"{PASSWORD}\")",
        f"the API to try    {api.base}/docs")


def is_up(base):
    try:
        return urllib.request.urlopen(base + "/health", timeout=2).status == 200
    except OSError:
        return False


def start(port, data):
    """Builds and starts a platform on a movable clock."""
    say("0. Starting a platform of its own", f"on port {port}, in {data}")
    command = ["cargo", "run", "--quiet", "-p", "fluxrate-local", "--", "--port", str(port), "--data", data,
               "--clock", START]
    log = open(os.path.join(data, "demo.log"), "w")
    platform = subprocess.Popen(command, stdout=log, stderr=log)
    while not is_up(f"http://127.0.0.1:{port}"):
        if platform.poll() is not None:
            sys.exit(f"it did not start: see {log.name}")
        time.sleep(0.3)
    return platform


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", help="address of a running platform on a movable clock")
    base = parser.parse_args().base
    if base:
        return play(Api(base.rstrip("/")))
    standing = "http://127.0.0.1:8787"
    if is_up(standing):
        clock = Api(standing).call("GET", "/local/clock")
        if clock.get("movable") and clock["now"] <= LAST_EVENT:  # it cannot go back
            return play(Api(standing))
    platform = start(8788, tempfile.mkdtemp(prefix="fluxrate-demo-"))
    try:
        play(Api("http://127.0.0.1:8788"))
        if sys.stdin.isatty():
            input("\nIt stays up until you press Enter. ")
    finally:
        platform.terminate()
        platform.wait()


if __name__ == "__main__":
    main()
