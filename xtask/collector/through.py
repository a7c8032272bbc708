"""Sends OTLP/JSON through a real collector, rotel, and prints what comes out of it.

    through.py FILE

The file's ids are hexadecimal, as OTLP/JSON has them; the collector's receiver takes protobuf, so the file is parsed with the
protocol's own classes and sent as such. What the collector exports is decoded again and printed as JSON: one object a span.
"""

import base64
import gzip
import http.server
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import rotel
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WAIT_SECONDS = 30


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def parse(text):
    document = json.loads(text)
    # The protocol's JSON has ids in hexadecimal, that of protobuf in base64.
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.Parse(json.dumps(document), ExportTraceServiceRequest())


class Sink(http.server.BaseHTTPRequestHandler):
    taken = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        Sink.taken.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


def spans(requests):
    for request in requests:
        for resource in request.resource_spans:
            attributes = {item.key: item.value.string_value for item in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    yield {
                        "service": attributes.get("service.name"),
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent_id": span.parent_span_id.hex(),
                        "name": span.name,
                        "failed": span.status.code == 2,
                        "kind": span.kind,
                    }


def main():
    request = parse(pathlib.Path(sys.argv[1]).read_text())
    expected = sum(1 for _ in spans([request]))
    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    receiver, unused = free_port(), free_port()
    program = pathlib.Path(rotel.__file__).with_name("rotel-agent")
    collector = subprocess.Popen(
        [
            program, "start",
            "--otlp-http-endpoint", f"127.0.0.1:{receiver}",
            "--otlp-grpc-endpoint", f"127.0.0.1:{unused}",
            "--exporter", "otlp",
            "--otlp-exporter-protocol", "http",
            "--otlp-exporter-endpoint", f"http://127.0.0.1:{sink.server_port}",
        ],
        stdout=sys.stderr,
        stderr=sys.stderr,
    )
    try:
        until = time.monotonic() + WAIT_SECONDS
        post = urllib.request.Request(
            f"http://127.0.0.1:{receiver}/v1/traces",
            data=request.SerializeToString(),
            headers={"content-type": "application/x-protobuf"},
        )
        while True:
            try:
                with urllib.request.urlopen(post, timeout=5) as answer:
                    assert answer.status == 200, answer.status
                break
            except urllib.error.HTTPError:
                raise
            except OSError:
                # It is not listening yet.
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        while sum(1 for _ in spans(Sink.taken)) < expected and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        collector.terminate()
        collector.wait(timeout=10)
    for span in spans(Sink.taken):
        print(json.dumps(span))


main()
