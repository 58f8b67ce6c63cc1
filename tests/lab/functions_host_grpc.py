"""The Functions host's end of the wire: serves the gRPC stream that a worker opens, and asks it as the host does.

The messages are made from the worker's own `FunctionRpc.proto`, so whatever worker it is, it is spoken to in its words.
Source: Azure/azure-functions-language-worker-protobuf, FunctionRpc.proto: the order of messages is in its comments.
"""

from __future__ import annotations

import queue
import re
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sandbox.process.running import ROOT, Running

PACKAGE = "azure_functions_worker"
_PROTOS = Path(PACKAGE) / "protos"
_SERVICE = "AzureFunctionsRpcMessages.FunctionRpc"
_MESSAGE = "AzureFunctionsRpcMessages.StreamingMessage"
ANSWERS_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Line:
    """One log line as the host gets it."""

    invocation: str
    category: str
    text: str


@dataclass(slots=True)
class Wire:
    """One worker's stream: what is to be sent, who waits for an answer, and every log line."""

    message: Any
    to_send: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    waiting: dict[str, Future[Any]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)

    def stream(self, received: Iterator[Any], _: grpc.ServicerContext) -> Iterator[Any]:
        threading.Thread(target=self._receive, args=(received,), daemon=True).start()
        while (message := self.to_send.get()) is not None:
            yield message

    def _receive(self, received: Iterator[Any]) -> None:
        try:
            for one in received:
                self._take(one)
        except grpc.RpcError:
            return  # the worker ended

    def _take(self, one: Any) -> None:
        kind = one.WhichOneof("content")
        if kind == "start_stream":
            self.started.set()
        elif kind == "rpc_log":
            self.lines.append(Line(one.rpc_log.invocation_id, one.rpc_log.category, one.rpc_log.message))
        elif kind == "invocation_response":
            self.waiting[one.invocation_response.invocation_id].set_result(one.invocation_response)
        elif kind == "function_load_response":
            self.waiting[one.function_load_response.function_id].set_result(one.function_load_response)
        elif kind in self.waiting:
            self.waiting[kind].set_result(getattr(one, kind))

    def ask(self, answer: str, **content: Any) -> Future[Any]:
        """Send one message; its answer is told by its kind, or by the id of what it is about."""
        self.waiting[answer] = found = Future[Any]()
        self.to_send.put(self.message(request_id=str(uuid.uuid4()), **content))
        return found


class Host:
    """A worker that has loaded the application."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._functions: dict[str, str] = {}

    @property
    def lines(self) -> list[Line]:
        return list(self._wire.lines)

    def load(self, application: Path) -> None:
        assert self._wire.started.wait(ANSWERS_WITHIN), "the worker opened no stream"
        folder = {"function_app_directory": str(application)}
        started = self._wire.ask("worker_init_response", worker_init_request={"host_version": "4.0.0", **folder})
        _holds(started.result(ANSWERS_WITHIN))
        asked = self._wire.ask("function_metadata_response", functions_metadata_request=folder)
        indexed = asked.result(ANSWERS_WITHIN)
        _holds(indexed)
        for one in indexed.function_metadata_results:
            request = {"function_id": one.function_id, "metadata": one}
            _holds(self._wire.ask(one.function_id, function_load_request=request).result(ANSWERS_WITHIN))
            self._functions[one.name] = one.function_id

    def invoke(self, function: str, **data: Any) -> tuple[str, Future[Any]]:
        """Its invocation id, and what will come back."""
        invocation = str(uuid.uuid4())
        request = {
            "invocation_id": invocation,
            "function_id": self._functions[function],
            "input_data": [{"name": name, "data": given} for name, given in data.items()],
        }
        return invocation, self._wire.ask(invocation, invocation_request=request)


def _holds(answer: Any) -> None:
    assert answer.result.status == answer.result.Success, answer.result.exception.message


def prepared(worker: Path, folder: Path) -> Any:
    """A copy of the worker in `folder`, its protocol compiled as its build does; gives the message of the stream."""
    shutil.copytree(worker / PACKAGE, folder / PACKAGE)
    protos, described = folder / _PROTOS, folder / "protocol.bin"
    source = protos / "_src" / "src" / "proto"
    files = sorted(str(path.relative_to(source)) for path in source.rglob("*.proto"))
    out = [f"--python_out={protos}", f"--grpc_python_out={protos}", f"--descriptor_set_out={described}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{source}", *out, "--include_imports", *files]
    subprocess.run(command, check=True, cwd=folder, timeout=60)
    for made in protos.rglob("*_pb2*.py"):
        _within_the_package(made)
    known = descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for one in known.file:
        pool.Add(one)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(_MESSAGE))


def _within_the_package(made: Path) -> None:
    """protoc's imports count from the top; the worker has them in a package of its own."""
    text = made.read_text(encoding="utf-8")
    package = f"{PACKAGE}.protos"
    text = re.sub(r"^from (shared|identity) import", rf"from {package}.\1 import", text, flags=re.MULTILINE)
    text = re.sub(r"^import FunctionRpc_pb2", f"from {package} import FunctionRpc_pb2", text, flags=re.MULTILINE)
    made.write_text(text, encoding="utf-8")


@contextmanager
def host(cloud: Running, worker: Path, folder: Path, **settings: str) -> Iterator[Host]:
    """Serve, start the worker as a process under the sandbox, let it load function_app.py."""
    wire = Wire(prepared(worker, folder))
    behaviour = grpc.stream_stream_rpc_method_handler(
        wire.stream, wire.message.FromString, wire.message.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"EventStream": behaviour}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    where = ["--host", "127.0.0.1", "--port", str(port), "--workerId", "1", "--requestId", "1"]
    arguments = ("-m", PACKAGE, *where, "--grpcMaxMessageLength", "134217728")
    extra = {"PYTHONPATH": str(folder), "AzureWebJobsScriptRoot": str(ROOT), **settings}
    with (folder / "worker.log").open("w+", encoding="utf-8") as log:
        child = cloud.start_product(arguments, cwd=ROOT, extra=extra, log=log)
        try:
            made = Host(wire)
            made.load(ROOT)
            yield made
        finally:
            child.kill()
            child.wait()
            wire.to_send.put(None)
            server.stop(None)
