"""A collector of traces: prints its port, and then each span that it gets, one JSON object a line."""

import http.server
import json
import sys

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


def plain(value):
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in request.resource_spans:
            service = {one.key: plain(one.value) for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    told = MessageToDict(span)
                    told["attributes"] = {one.key: plain(one.value) for one in span.attributes}
                    told["trace"] = span.trace_id.hex()
                    told["id"] = span.span_id.hex()
                    told["parent"] = span.parent_span_id.hex()
                    told["nanoseconds"] = span.end_time_unix_nano - span.start_time_unix_nano
                    told["service"] = service["service.name"]
                    told["path"] = self.path
                    print(json.dumps(told), flush=True)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.close()
server.serve_forever()
