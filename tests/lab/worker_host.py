"""The Functions host's part, for `tests/functions/test_worker.py`: loads function_app.py with the library that the
real Python worker calls (azure-functions-runtime, Python 3.13 and later), invokes functions as they are asked for, and
prints what came back as JSON. Events go to standard error, each with the invocation that the worker would give its
line.

Its argument is a JSON list of invocations: `{"function", "timer": {…}}`,
`{"function", "http": {"method", "headers", "query", "params", "body"}}` or
`{"function", "queue": {"body", "delivery"}}`.

The library takes its messages as a namespace of classes, so neither gRPC nor protobuf is needed. It keeps what it
indexed in module globals: one process, one application.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

APPLICATION = Path(os.environ.get("WORKER_APPLICATION", Path(__file__).resolve().parents[2]))


class Message:
    """A protobuf message as far as the library looks: fields, and which one holds the data."""

    def __init__(self, *positional: Any, **fields: Any) -> None:
        self.__dict__.update(fields)

    def WhichOneof(self, _: str) -> str | None:
        return next((field for field in self.__dict__ if field != "name"), None)


class StatusResult(Message):
    Failure, Success = 0, 1


class BindingInfo(Message):
    undefined, out, inout = 0, 1, 2


NAMES = (
    *("RpcException", "WorkerInitResponse", "WorkerMetadata", "FunctionMetadataResponse", "FunctionLoadResponse"),
    *("RpcFunctionMetadata", "RpcRetryOptions", "InvocationResponse", "TypedData", "RpcHttp", "ParameterBinding"),
)
PROTOS = SimpleNamespace(
    StatusResult=StatusResult, BindingInfo=BindingInfo, **{name: type(name, (Message,), {}) for name in NAMES}
)


def request(**properties: Any) -> Message:
    return Message(request=Message(**properties), properties={"host": "127.0.0.1", "protos": PROTOS})


def http_request(asked: dict[str, Any]) -> Message:
    text = asked.get("body")
    return Message(
        http=Message(
            method=asked.get("method", "POST"),
            url="https://patrol.azurewebsites.net/api/",
            headers=asked.get("headers", {}),
            params=asked.get("params", {}),
            query=asked.get("query", {}),
            body=Message(string=text) if text is not None else Message(),
        )
    )


def data_of(asked: dict[str, Any]) -> list[Message]:
    if "timer" in asked:
        return [Message(name="timer", data=Message(json=json.dumps(asked["timer"])))]
    if "queue" in asked:
        return [Message(name="message", data=Message(string=asked["queue"]["body"]))]
    return [Message(name="req", data=http_request(asked["http"]))]


def metadata_of(asked: dict[str, Any]) -> dict[str, Message]:
    """What the host tells of a message beside its body."""
    if "queue" not in asked:
        return {}
    told = {"Id": json.dumps("message-1"), "PopReceipt": json.dumps("receipt")}
    told["DequeueCount"] = json.dumps(asked["queue"].get("delivery", 1))
    told |= dict.fromkeys(
        ("InsertionTime", "ExpirationTime", "NextVisibleTime"), json.dumps("2026-03-01T12:00:00+00:00")
    )
    return {name: Message(json=text) for name, text in told.items()}


def sent_of(answer: Any) -> dict[str, Any]:
    """What the function handed to its output bindings."""
    found = {one.name: one.data for one in getattr(answer, "output_data", None) or ()}
    return {name: json.loads(data.json) if hasattr(data, "json") else data.string for name, data in found.items()}


async def invoke(handle_event: Any, function_id: str, number: int, asked: dict[str, Any]) -> dict[str, Any]:
    invocation = Message(
        invocation_id=f"invocation-{number}",
        function_id=function_id,
        input_data=data_of(asked),
        trigger_metadata=metadata_of(asked),
        trace_context=Message(trace_parent="", trace_state="", attributes={}),
        retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
    )
    answer = await handle_event.invocation_request(request(invocation_request=invocation))
    failure = getattr(answer.result, "exception", None)
    told: dict[str, Any] = {
        "succeeded": answer.result.status == StatusResult.Success,
        "message": failure.message if failure else "",
        "trace": failure.stack_trace if failure else "",
        "sent": sent_of(answer),
    }
    http = getattr(getattr(answer, "return_value", None), "http", None)
    if http is not None:
        body = http.body.bytes if hasattr(http.body, "bytes") else http.body.string.encode()
        told |= {"status": int(http.status_code), "headers": dict(http.headers), "body": json.loads(body)}
    return told


async def serve(wanted: list[dict[str, Any]]) -> dict[str, Any]:
    from azure_functions_runtime import handle_event
    from azure_functions_runtime.utils.threadpool import start_threadpool_executor

    start_threadpool_executor()
    start = Message(capabilities={}, function_app_directory=str(APPLICATION))
    started = await handle_event.worker_init_request(request(worker_init_request=start))
    if started.result.status != StatusResult.Success:
        return {"indexed": False, "message": started.result.exception.message}
    found = await handle_event.functions_metadata_request(request())
    functions = {one.name: one for one in found.function_metadata_results or ()}
    bindings = {name: [json.loads(text) for text in one.raw_bindings] for name, one in functions.items()}
    answers = [
        await invoke(handle_event, functions[asked["function"]].function_id, number, asked)
        for number, asked in enumerate(wanted, start=1)
    ]
    return {"indexed": True, "bindings": bindings, "answers": answers}


class Invocation(logging.Filter):
    """Asks in the thread of the log line which invocation it belongs to, as the log handlers of the workers do.

    The worker of Python 3.13 reads a context variable, those before it the thread's own storage. Where they differ one
    of the workers would give the line to another invocation, or to none, and the line shows both.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        from azure_functions_runtime import invocation_id_cv
        from azure_functions_runtime.bindings.context import _invocation_id_local

        by_context = invocation_id_cv.get()
        by_thread = getattr(_invocation_id_local, "invocation_id", None)
        record.invocation = by_context if by_context == by_thread else f"{by_context}, by thread {by_thread}"
        return True


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="[%(invocation)s] %(message)s")
    logging.getLogger().handlers[0].addFilter(Invocation())
    sys.path.insert(0, str(APPLICATION))
    print(json.dumps(asyncio.run(serve(json.loads(sys.argv[1])))))
